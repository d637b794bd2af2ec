// Generated from reflection.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface ServerReflectionRequest {
    host: string;
    /** The file of this name. */
    fileByFilename: string | null;
    /** The file that declares this name: `package.Service`, `package.Service.Method`, `package.Message`. */
    fileContainingSymbol: string | null;
    /** The file that declares an extension field. */
    fileContainingExtension: ExtensionRequest | null;
    /** The numbers of all extension fields of this message. */
    allExtensionNumbersOfType: string | null;
    /** The names of all services; the content does not matter. */
    listServices: string | null;
    readonly messageRequest: "fileByFilename" | "fileContainingSymbol" | "fileContainingExtension" | "allExtensionNumbersOfType" | "listServices" | undefined;
}
export namespace ServerReflectionRequest {
    /** What {@link ServerReflectionRequest} is made from: a field left out has its default. */
    interface Init {
        host?: string | null | undefined;
        /** The file of this name. */
        fileByFilename?: string | null | undefined;
        /** The file that declares this name: `package.Service`, `package.Service.Method`, `package.Message`. */
        fileContainingSymbol?: string | null | undefined;
        /** The file that declares an extension field. */
        fileContainingExtension?: ExtensionRequest.Init | null | undefined;
        /** The numbers of all extension fields of this message. */
        allExtensionNumbersOfType?: string | null | undefined;
        /** The names of all services; the content does not matter. */
        listServices?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ServerReflectionRequest;
}

export interface ExtensionRequest {
    /** Full name of the message that is extended. */
    containingType: string;
    extensionNumber: number;
}
export namespace ExtensionRequest {
    /** What {@link ExtensionRequest} is made from: a field left out has its default. */
    interface Init {
        /** Full name of the message that is extended. */
        containingType?: string | null | undefined;
        extensionNumber?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ExtensionRequest;
}

export interface ServerReflectionResponse {
    /** The request's host. */
    validHost: string;
    originalRequest: ServerReflectionRequest | null;
    fileDescriptorResponse: FileDescriptorResponse | null;
    allExtensionNumbersResponse: ExtensionNumberResponse | null;
    listServicesResponse: ListServiceResponse | null;
    errorResponse: ErrorResponse | null;
    readonly messageResponse: "fileDescriptorResponse" | "allExtensionNumbersResponse" | "listServicesResponse" | "errorResponse" | undefined;
}
export namespace ServerReflectionResponse {
    /** What {@link ServerReflectionResponse} is made from: a field left out has its default. */
    interface Init {
        /** The request's host. */
        validHost?: string | null | undefined;
        originalRequest?: ServerReflectionRequest.Init | null | undefined;
        fileDescriptorResponse?: FileDescriptorResponse.Init | null | undefined;
        allExtensionNumbersResponse?: ExtensionNumberResponse.Init | null | undefined;
        listServicesResponse?: ListServiceResponse.Init | null | undefined;
        errorResponse?: ErrorResponse.Init | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ServerReflectionResponse;
}

export interface FileDescriptorResponse {
    /** Serialized `google.protobuf.FileDescriptorProto`: the file, and what it imports unless this stream had it before. */
    fileDescriptorProto: Uint8Array[];
}
export namespace FileDescriptorResponse {
    /** What {@link FileDescriptorResponse} is made from: a field left out has its default. */
    interface Init {
        /** Serialized `google.protobuf.FileDescriptorProto`: the file, and what it imports unless this stream had it before. */
        fileDescriptorProto?: readonly Uint8Array[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): FileDescriptorResponse;
}

export interface ExtensionNumberResponse {
    /** Full name of the message that is extended. */
    baseTypeName: string;
    extensionNumber: number[];
}
export namespace ExtensionNumberResponse {
    /** What {@link ExtensionNumberResponse} is made from: a field left out has its default. */
    interface Init {
        /** Full name of the message that is extended. */
        baseTypeName?: string | null | undefined;
        extensionNumber?: readonly number[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ExtensionNumberResponse;
}

export interface ListServiceResponse {
    service: ServiceResponse[];
}
export namespace ListServiceResponse {
    /** What {@link ListServiceResponse} is made from: a field left out has its default. */
    interface Init {
        service?: readonly ServiceResponse.Init[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ListServiceResponse;
}

export interface ServiceResponse {
    /** Full name: `package.Service`. */
    name: string;
}
export namespace ServiceResponse {
    /** What {@link ServiceResponse} is made from: a field left out has its default. */
    interface Init {
        /** Full name: `package.Service`. */
        name?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ServiceResponse;
}

export interface ErrorResponse {
    /** A gRPC status code. */
    errorCode: number;
    errorMessage: string;
}
export namespace ErrorResponse {
    /** What {@link ErrorResponse} is made from: a field left out has its default. */
    interface Init {
        /** A gRPC status code. */
        errorCode?: number | null | undefined;
        errorMessage?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ErrorResponse;
}

/** Tells what a server offers, and the .proto files behind it. */
export const ServerReflection: {
    readonly typeName: "grpc.reflection.v1.ServerReflection";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Answers each request in turn; one stream, so that all of them reach the same server. */
        readonly serverReflectionInfo: {
            readonly path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
            readonly requestStream: true;
            readonly responseStream: true;
            readonly request: typeof ServerReflectionRequest;
            readonly response: typeof ServerReflectionResponse;
        };
    };
};
