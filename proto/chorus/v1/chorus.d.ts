// Generated from chorus.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface SingRequest {
    /** Broker ID of the host's `neighbours.v1.Neighbours`. */
    neighbours: number;
    text: string;
    /** How often the text is to be heard. */
    times: number;
}
export namespace SingRequest {
    /** What {@link SingRequest} is made from: a field left out has its default. */
    interface Init {
        /** Broker ID of the host's `neighbours.v1.Neighbours`. */
        neighbours?: number | null | undefined;
        text?: string | null | undefined;
        /** How often the text is to be heard. */
        times?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): SingRequest;
}

export interface SingResponse {
    lines: string[];
}
export namespace SingResponse {
    /** What {@link SingResponse} is made from: a field left out has its default. */
    interface Init {
        lines?: readonly string[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): SingResponse;
}

/** Has another plugin say everything again. */
export const Chorus: {
    readonly typeName: "chorus.v1.Chorus";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Fails as the other plugin does, and UNAVAILABLE when it has ended. */
        readonly sing: {
            readonly path: "/chorus.v1.Chorus/Sing";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof SingRequest;
            readonly response: typeof SingResponse;
        };
    };
};
