// Generated from neighbours.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface FindRequest {
    /** Name of the other plugin. */
    plugin: string;
    /** `package.Service` */
    service: string;
}
export namespace FindRequest {
    /** What {@link FindRequest} is made from: a field left out has its default. */
    interface Init {
        /** Name of the other plugin. */
        plugin?: string | null | undefined;
        /** `package.Service` */
        service?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): FindRequest;
}

export interface FindResponse {
    /** Broker ID of the host that passes calls on. */
    id: number;
}
export namespace FindResponse {
    /** What {@link FindResponse} is made from: a field left out has its default. */
    interface Init {
        /** Broker ID of the host that passes calls on. */
        id?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): FindResponse;
}

/** Offered by a host to a plugin that may call other plugins of it. */
export const Neighbours: {
    readonly typeName: "neighbours.v1.Neighbours";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /**
         * Where a service of another plugin can be called. NOT_FOUND when there is none, or none that this plugin may call. Once
         * the other plugin has ended, calls there fail with UNAVAILABLE.
         */
        readonly find: {
            readonly path: "/neighbours.v1.Neighbours/Find";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof FindRequest;
            readonly response: typeof FindResponse;
        };
    };
};
