// Generated from session.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface StartRequest {
    /** Broker IDs of the host by name, which is `package.Service` of what is served there. */
    services: Record<string, number>;
}
export namespace StartRequest {
    /** What {@link StartRequest} is made from: a field left out has its default. */
    interface Init {
        /** Broker IDs of the host by name, which is `package.Service` of what is served there. */
        services?: Readonly<Record<string, number>> | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StartRequest;
}

export interface StartResponse {
}
export namespace StartResponse {
    /** What {@link StartResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StartResponse;
}

export interface VisitRequest {
    name: string;
}
export namespace VisitRequest {
    /** What {@link VisitRequest} is made from: a field left out has its default. */
    interface Init {
        name?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): VisitRequest;
}

export interface VisitResponse {
    /** How many visits of that name there have been, this one included. */
    count: number;
}
export namespace VisitResponse {
    /** What {@link VisitResponse} is made from: a field left out has its default. */
    interface Init {
        /** How many visits of that name there have been, this one included. */
        count?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): VisitResponse;
}

/** Tells a plugin once what its host serves, and uses it. */
export const Session: {
    readonly typeName: "session.v1.Session";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** The first call. FAILED_PRECONDITION when it has been called before. */
        readonly start: {
            readonly path: "/session.v1.Session/Start";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof StartRequest;
            readonly response: typeof StartResponse;
        };
        /**
         * Counts a visit in the host's `cache.v1.Cache`. NOT_FOUND when the host serves none, with the names of what it serves;
         * FAILED_PRECONDITION before Start.
         */
        readonly visit: {
            readonly path: "/session.v1.Session/Visit";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof VisitRequest;
            readonly response: typeof VisitResponse;
        };
    };
};
