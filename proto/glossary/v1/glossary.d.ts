// Generated from glossary.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface ExplainRequest {
    word: string;
    /** Broker ID of the host's `glossary.v1.Starter`. */
    starter: number;
}
export namespace ExplainRequest {
    /** What {@link ExplainRequest} is made from: a field left out has its default. */
    interface Init {
        word?: string | null | undefined;
        /** Broker ID of the host's `glossary.v1.Starter`. */
        starter?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ExplainRequest;
}

export interface ExplainResponse {
    meaning: string;
}
export namespace ExplainResponse {
    /** What {@link ExplainResponse} is made from: a field left out has its default. */
    interface Init {
        meaning?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ExplainResponse;
}

export interface StartRequest {
}
export namespace StartRequest {
    /** What {@link StartRequest} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StartRequest;
}

export interface StartResponse {
    /** Broker ID of the host's `kv.v1.KeyValue`. */
    store: number;
}
export namespace StartResponse {
    /** What {@link StartResponse} is made from: a field left out has its default. */
    interface Init {
        /** Broker ID of the host's `kv.v1.KeyValue`. */
        store?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StartResponse;
}

/** Explains words: a few by itself, the others with the host's store. */
export const Glossary: {
    readonly typeName: "glossary.v1.Glossary";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** NOT_FOUND for a word that neither knows. */
        readonly explain: {
            readonly path: "/glossary.v1.Glossary/Explain";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof ExplainRequest;
            readonly response: typeof ExplainResponse;
        };
    };
};

/** Offered by a host: starts what it serves when somebody asks for it. */
export const Starter: {
    readonly typeName: "glossary.v1.Starter";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Starts a service, if it does not run, and says where it is. UNAVAILABLE when that fails: ask again. */
        readonly start: {
            readonly path: "/glossary.v1.Starter/Start";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof StartRequest;
            readonly response: typeof StartResponse;
        };
    };
};
