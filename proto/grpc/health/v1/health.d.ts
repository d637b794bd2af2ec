// Generated from health.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface HealthCheckRequest {
    /** Full name of the service; empty asks for the server as a whole. */
    service: string;
}
export namespace HealthCheckRequest {
    /** What {@link HealthCheckRequest} is made from: a field left out has its default. */
    interface Init {
        /** Full name of the service; empty asks for the server as a whole. */
        service?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): HealthCheckRequest;
}

export interface HealthListRequest {
}
export namespace HealthListRequest {
    /** What {@link HealthListRequest} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): HealthListRequest;
}

export interface HealthListResponse {
    /** By the service's name. */
    statuses: Record<string, HealthCheckResponse>;
}
export namespace HealthListResponse {
    /** What {@link HealthListResponse} is made from: a field left out has its default. */
    interface Init {
        /** By the service's name. */
        statuses?: Readonly<Record<string, HealthCheckResponse.Init>> | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): HealthListResponse;
}

export interface HealthCheckResponse {
    status: HealthCheckResponse.ServingStatus;
}
export namespace HealthCheckResponse {
    /** What {@link HealthCheckResponse} is made from: a field left out has its default. */
    interface Init {
        status?: HealthCheckResponse.ServingStatus | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): HealthCheckResponse;
    type ServingStatus = number;
    const ServingStatus: {
        readonly UNKNOWN: 0;
        readonly SERVING: 1;
        readonly NOT_SERVING: 2;
        /** Only in answers to Watch. */
        readonly SERVICE_UNKNOWN: 3;
        readonly [value: number]: string | undefined;
    };
}

/** The standard health service (gRPC Health Checking Protocol). */
export const Health: {
    readonly typeName: "grpc.health.v1.Health";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Answers with the status now; fails with NOT_FOUND for a service that is not known. */
        readonly check: {
            readonly path: "/grpc.health.v1.Health/Check";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof HealthCheckRequest;
            readonly response: typeof HealthCheckResponse;
        };
        /** Answers with the status of every service that is known. */
        readonly list: {
            readonly path: "/grpc.health.v1.Health/List";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof HealthListRequest;
            readonly response: typeof HealthListResponse;
        };
        /** Answers with the status now and again whenever it changes; SERVICE_UNKNOWN for a service that is not known. */
        readonly watch: {
            readonly path: "/grpc.health.v1.Health/Watch";
            readonly requestStream: false;
            readonly responseStream: true;
            readonly request: typeof HealthCheckRequest;
            readonly response: typeof HealthCheckResponse;
        };
    };
};
