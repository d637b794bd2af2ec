// Generated from echo.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface EchoRequest {
    text: string;
    payload: Uint8Array;
}
export namespace EchoRequest {
    /** What {@link EchoRequest} is made from: a field left out has its default. */
    interface Init {
        text?: string | null | undefined;
        payload?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): EchoRequest;
}

export interface EchoResponse {
    text: string;
    payload: Uint8Array;
    /** Which answer of the call this is, from 0. */
    index: number;
}
export namespace EchoResponse {
    /** What {@link EchoResponse} is made from: a field left out has its default. */
    interface Init {
        text?: string | null | undefined;
        payload?: Uint8Array | null | undefined;
        /** Which answer of the call this is, from 0. */
        index?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): EchoResponse;
}

export interface RepeatRequest {
    text: string;
    count: number;
    payload: Uint8Array;
}
export namespace RepeatRequest {
    /** What {@link RepeatRequest} is made from: a field left out has its default. */
    interface Init {
        text?: string | null | undefined;
        count?: number | null | undefined;
        payload?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): RepeatRequest;
}

export interface CollectResponse {
    text: string;
    payload: Uint8Array;
    /** How many messages were collected. */
    count: number;
}
export namespace CollectResponse {
    /** What {@link CollectResponse} is made from: a field left out has its default. */
    interface Init {
        text?: string | null | undefined;
        payload?: Uint8Array | null | undefined;
        /** How many messages were collected. */
        count?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): CollectResponse;
}

export interface SleepRequest {
    ms: number;
}
export namespace SleepRequest {
    /** What {@link SleepRequest} is made from: a field left out has its default. */
    interface Init {
        ms?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): SleepRequest;
}

export interface SleepResponse {
}
export namespace SleepResponse {
    /** What {@link SleepResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): SleepResponse;
}

export interface FailRequest {
    /** gRPC status code, 1 to 16. */
    code: number;
    details: string;
}
export namespace FailRequest {
    /** What {@link FailRequest} is made from: a field left out has its default. */
    interface Init {
        /** gRPC status code, 1 to 16. */
        code?: number | null | undefined;
        details?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): FailRequest;
}

export interface FailResponse {
}
export namespace FailResponse {
    /** What {@link FailResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): FailResponse;
}

/** One method of every kind, for tests, examples and measurements. */
export const Echo: {
    readonly typeName: "echo.v1.Echo";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Answers with what it was sent. */
        readonly echo: {
            readonly path: "/echo.v1.Echo/Echo";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof EchoRequest;
            readonly response: typeof EchoResponse;
        };
        /** Answers `count` times with the same text and payload, numbered from 0. */
        readonly repeat: {
            readonly path: "/echo.v1.Echo/Repeat";
            readonly requestStream: false;
            readonly responseStream: true;
            readonly request: typeof RepeatRequest;
            readonly response: typeof EchoResponse;
        };
        /** Answers once, after the last request: all texts joined, all payloads joined. */
        readonly collect: {
            readonly path: "/echo.v1.Echo/Collect";
            readonly requestStream: true;
            readonly responseStream: false;
            readonly request: typeof EchoRequest;
            readonly response: typeof CollectResponse;
        };
        /** Answers each message as it arrives, numbered from 0. */
        readonly chat: {
            readonly path: "/echo.v1.Echo/Chat";
            readonly requestStream: true;
            readonly responseStream: true;
            readonly request: typeof EchoRequest;
            readonly response: typeof EchoResponse;
        };
        /** Answers after `ms` milliseconds, unless the call is cancelled before. */
        readonly sleep: {
            readonly path: "/echo.v1.Echo/Sleep";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof SleepRequest;
            readonly response: typeof SleepResponse;
        };
        /** Fails with the given status. */
        readonly fail: {
            readonly path: "/echo.v1.Echo/Fail";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof FailRequest;
            readonly response: typeof FailResponse;
        };
    };
};
