// Generated from goplugin.proto by proto/generate.js. Do not edit.
import type { Writer } from "protobufjs/minimal.js";

/** go-plugin has an empty message of its own; it is not `google.protobuf.Empty`. */
export interface Empty {
}
export namespace Empty {
    /** What {@link Empty} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): Empty;
}

/** Controls the plugin's process. */
export const GRPCController: {
    readonly typeName: "plugin.GRPCController";
    readonly methods: {
        /** Asks the plugin to end. */
        readonly shutdown: {
            readonly path: "/plugin.GRPCController/Shutdown";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof Empty;
            readonly response: typeof Empty;
        };
    };
};
