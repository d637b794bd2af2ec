// Generated from goplugin.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

/** From the side that accepts a broker ID to the side that dials it; knocks go both ways. */
export interface ConnInfo {
    /** The broker ID, counted by the side that accepts. */
    serviceId: number;
    /** `unix` or `tcp`; empty in a knock. */
    network: string;
    /** A path, or host and port; empty in a knock. */
    address: string;
    knock: ConnInfo.Knock | null;
}
export namespace ConnInfo {
    /** What {@link ConnInfo} is made from: a field left out has its default. */
    interface Init {
        /** The broker ID, counted by the side that accepts. */
        serviceId?: number | null | undefined;
        /** `unix` or `tcp`; empty in a knock. */
        network?: string | null | undefined;
        /** A path, or host and port; empty in a knock. */
        address?: string | null | undefined;
        knock?: ConnInfo.Knock.Init | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ConnInfo;
    /** Multiplexed connections only: announces a stream for the ID, and answers that. */
    interface Knock {
        /** True in the question and in the answer. */
        knock: boolean;
        /** True in the answer. */
        ack: boolean;
        /** Why the answer is no; empty when it is yes. */
        error: string;
    }
    namespace Knock {
        /** What {@link Knock} is made from: a field left out has its default. */
        interface Init {
            /** True in the question and in the answer. */
            knock?: boolean | null | undefined;
            /** True in the answer. */
            ack?: boolean | null | undefined;
            /** Why the answer is no; empty when it is yes. */
            error?: string | null | undefined;
        }
        function encode(message: Init, writer?: Writer): Writer;
        function decode(bytes: Uint8Array): Knock;
    }
}

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

export interface StdioData {
    channel: StdioData.Channel;
    /** Raw bytes, not lines. */
    data: Uint8Array;
}
export namespace StdioData {
    /** What {@link StdioData} is made from: a field left out has its default. */
    interface Init {
        channel?: StdioData.Channel | null | undefined;
        /** Raw bytes, not lines. */
        data?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StdioData;
    type Channel = number;
    const Channel: {
        readonly INVALID: 0;
        readonly STDOUT: 1;
        readonly STDERR: 2;
        readonly [value: number]: string | undefined;
    };
}

export namespace google.protobuf {
    interface Empty {
    }
    namespace Empty {
        /** What {@link Empty} is made from: a field left out has its default. */
        interface Init {
        }
        function encode(message: Init, writer?: Writer): Writer;
        function decode(bytes: Uint8Array): Empty;
    }
}

/** Tells the other side where a broker ID is to be reached, and asks for it where one connection carries all. */
export const GRPCBroker: {
    readonly typeName: "plugin.GRPCBroker";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Opened once by the host, for as long as both live; either side sends. */
        readonly startStream: {
            readonly path: "/plugin.GRPCBroker/StartStream";
            readonly requestStream: true;
            readonly responseStream: true;
            readonly request: typeof ConnInfo;
            readonly response: typeof ConnInfo;
        };
    };
};

/** Controls the plugin's process. */
export const GRPCController: {
    readonly typeName: "plugin.GRPCController";
    readonly fileDescriptors: () => readonly Uint8Array[];
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

/** What the plugin prints. */
export const GRPCStdio: {
    readonly typeName: "plugin.GRPCStdio";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Opened once by the host: everything printed from then on, and nothing twice. */
        readonly streamStdio: {
            readonly path: "/plugin.GRPCStdio/StreamStdio";
            readonly requestStream: false;
            readonly responseStream: true;
            readonly request: typeof google.protobuf.Empty;
            readonly response: typeof StdioData;
        };
    };
};
