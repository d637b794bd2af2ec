// Generated from filelister.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface EstablishHostServicesRequest {
    /** Broker ID of the host's service. */
    hostService: number;
}
export namespace EstablishHostServicesRequest {
    /** What {@link EstablishHostServicesRequest} is made from: a field left out has its default. */
    interface Init {
        /** Broker ID of the host's service. */
        hostService?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): EstablishHostServicesRequest;
}

export interface EstablishHostServicesResponse {
}
export namespace EstablishHostServicesResponse {
    /** What {@link EstablishHostServicesResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): EstablishHostServicesResponse;
}

export interface ListRequest {
    /** Path relative to the directory that the host shares; `.` is that directory. */
    dir: string;
    /** Broker ID of the host's service for this call; 0 takes the one established before. */
    hostService: number;
}
export namespace ListRequest {
    /** What {@link ListRequest} is made from: a field left out has its default. */
    interface Init {
        /** Path relative to the directory that the host shares; `.` is that directory. */
        dir?: string | null | undefined;
        /** Broker ID of the host's service for this call; 0 takes the one established before. */
        hostService?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ListRequest;
}

export interface ListResponse {
    entries: Entry[];
}
export namespace ListResponse {
    /** What {@link ListResponse} is made from: a field left out has its default. */
    interface Init {
        entries?: readonly Entry.Init[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ListResponse;
}

export interface Entry {
    /** The name. A byte that is not UTF-8 is shown as `\xNN`; `raw_name` then has the name itself. */
    name: string;
    isDir: boolean;
    /** The name's bytes on disk, only where they are not UTF-8. */
    rawName: Uint8Array;
}
export namespace Entry {
    /** What {@link Entry} is made from: a field left out has its default. */
    interface Init {
        /** The name. A byte that is not UTF-8 is shown as `\xNN`; `raw_name` then has the name itself. */
        name?: string | null | undefined;
        isDir?: boolean | null | undefined;
        /** The name's bytes on disk, only where they are not UTF-8. */
        rawName?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): Entry;
}

export interface DisconnectHostServicesRequest {
}
export namespace DisconnectHostServicesRequest {
    /** What {@link DisconnectHostServicesRequest} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): DisconnectHostServicesRequest;
}

export interface DisconnectHostServicesResponse {
}
export namespace DisconnectHostServicesResponse {
    /** What {@link DisconnectHostServicesResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): DisconnectHostServicesResponse;
}

/** Lists directories that it cannot open itself: the plugin asks a service of the host, which it dials by broker ID. */
export const FileLister: {
    readonly typeName: "filelister.v1.FileLister";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Tells the plugin under which broker ID the host serves `hostserve.v1.HostService`. */
        readonly establishHostServices: {
            readonly path: "/filelister.v1.FileLister/EstablishHostServices";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof EstablishHostServicesRequest;
            readonly response: typeof EstablishHostServicesResponse;
        };
        /** Lists one directory, through the host's service. */
        readonly list: {
            readonly path: "/filelister.v1.FileLister/List";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof ListRequest;
            readonly response: typeof ListResponse;
        };
        /** Lets the plugin close its channel to the host's service. */
        readonly disconnectHostServices: {
            readonly path: "/filelister.v1.FileLister/DisconnectHostServices";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof DisconnectHostServicesRequest;
            readonly response: typeof DisconnectHostServicesResponse;
        };
    };
};
