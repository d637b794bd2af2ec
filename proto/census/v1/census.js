// Generated from census.proto by muxplug-proto. Do not edit.
/*eslint-disable block-scoped-var, id-length, no-control-regex, no-magic-numbers, no-mixed-operators, no-prototype-builtins, no-redeclare, no-shadow, no-var, sort-vars, default-case, jsdoc/require-param*/
import $protobuf from "muxplug/protobuf";

const $Reader = $protobuf.Reader, $Writer = $protobuf.Writer, $util = $protobuf.util;
const $Object = $util.global.Object, $undefined = $util.global.undefined, $Error = $util.global.Error, $RangeError = $util.global.RangeError;

const $root = {};

export const census = $root.census = (() => {

    const census = {};

    census.v1 = (function() {

        const v1 = {};

        v1.Way = (function() {
            const valuesById = $Object.create(null), values = $Object.create(valuesById);
            values[valuesById[0] = "WAY_UNSPECIFIED"] = 0;
            values[valuesById[1] = "WAY_WHOLE"] = 1;
            values[valuesById[2] = "WAY_PAGES"] = 2;
            values[valuesById[3] = "WAY_STREAM"] = 3;
            return values;
        })();

        v1.CountRequest = (function() {

            const CountRequest = function (properties) {
                this.hostService = 0;
                this.dir = "";
                this.way = 0;
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            CountRequest.prototype.hostService = 0;
            CountRequest.prototype.dir = "";
            CountRequest.prototype.way = 0;

            CountRequest.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.hostService != null && $Object.hasOwnProperty.call(message, "hostService") && message.hostService !== 0)
                    writer.uint32(8).uint32(message.hostService);
                if (message.dir != null && $Object.hasOwnProperty.call(message, "dir") && message.dir !== "")
                    writer.uint32(18).string(message.dir);
                if (message.way != null && $Object.hasOwnProperty.call(message, "way") && message.way !== 0)
                    writer.uint32(24).int32(message.way);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            CountRequest.decode = function (reader, length, _end, _depth, _target) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $Reader.recursionLimit)
                    throw $Error("max depth exceeded");
                let end, message, value;
                if (length === $undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw $RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = _target || new $root.census.v1.CountRequest();
                while (reader.pos < end) {
                    let start = reader.pos;
                    let tag = reader.tag();
                    if (tag === _end) {
                        _end = $undefined;
                        break;
                    }
                    let wireType = tag & 7;
                    switch (tag >>>= 3) {
                    case 1: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.hostService = value;
                            else
                                message.hostService = CountRequest.prototype.hostService;
                            continue;
                        }
                    case 2: {
                            if (wireType !== 2)
                                break;
                            if ((value = reader.stringVerify()).length)
                                message.dir = value;
                            else
                                message.dir = CountRequest.prototype.dir;
                            continue;
                        }
                    case 3: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.int32())
                                message.way = value;
                            else
                                message.way = CountRequest.prototype.way;
                            continue;
                        }
                    }
                    reader.skipType(wireType, _depth, tag);
                    if (!reader.discardUnknown) {
                        $util.makeProp(message, "$unknowns", false);
                        (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                    }
                }
                if (length !== $undefined) {
                    if (reader.pos !== end)
                        throw $RangeError("index out of range");
                    reader.len = length;
                }
                if (_end !== $undefined)
                    throw $Error("missing end group");
                return message;
            };

            return CountRequest;
        })();

        v1.CountResponse = (function() {

            const CountResponse = function (properties) {
                this.entries = 0;
                this.messages = 0;
                this.largestBytes = 0;
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            CountResponse.prototype.entries = 0;
            CountResponse.prototype.messages = 0;
            CountResponse.prototype.largestBytes = 0;

            CountResponse.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.entries != null && $Object.hasOwnProperty.call(message, "entries") && message.entries !== 0)
                    writer.uint32(8).uint32(message.entries);
                if (message.messages != null && $Object.hasOwnProperty.call(message, "messages") && message.messages !== 0)
                    writer.uint32(16).uint32(message.messages);
                if (message.largestBytes != null && $Object.hasOwnProperty.call(message, "largestBytes") && message.largestBytes !== 0)
                    writer.uint32(24).uint32(message.largestBytes);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            CountResponse.decode = function (reader, length, _end, _depth, _target) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $Reader.recursionLimit)
                    throw $Error("max depth exceeded");
                let end, message, value;
                if (length === $undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw $RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = _target || new $root.census.v1.CountResponse();
                while (reader.pos < end) {
                    let start = reader.pos;
                    let tag = reader.tag();
                    if (tag === _end) {
                        _end = $undefined;
                        break;
                    }
                    let wireType = tag & 7;
                    switch (tag >>>= 3) {
                    case 1: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.entries = value;
                            else
                                message.entries = CountResponse.prototype.entries;
                            continue;
                        }
                    case 2: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.messages = value;
                            else
                                message.messages = CountResponse.prototype.messages;
                            continue;
                        }
                    case 3: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.largestBytes = value;
                            else
                                message.largestBytes = CountResponse.prototype.largestBytes;
                            continue;
                        }
                    }
                    reader.skipType(wireType, _depth, tag);
                    if (!reader.discardUnknown) {
                        $util.makeProp(message, "$unknowns", false);
                        (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                    }
                }
                if (length !== $undefined) {
                    if (reader.pos !== end)
                        throw $RangeError("index out of range");
                    reader.len = length;
                }
                if (_end !== $undefined)
                    throw $Error("missing end group");
                return message;
            };

            return CountResponse;
        })();

        return v1;
    })();

    return census;
})();


export const Way = census.v1.Way;
export const CountRequest = census.v1.CountRequest;
export const CountResponse = census.v1.CountResponse;

const fileDescriptors = () => [
    "ChZjZW5zdXMvdjEvY2Vuc3VzLnByb3RvEgljZW5zdXMudjEiTgoMQ291bnRSZXF1ZXN0EhQKDGhvc3Rfc2VydmljZRgBIAEoDRILCgNkaXIYAiABKAkSGwoDd2F5GAMgASgOMg4uY2Vuc3VzLnYxLldheSJJCg1Db3VudFJlc3BvbnNlEg8KB2VudHJpZXMYASABKA0SEAoIbWVzc2FnZXMYAiABKA0SFQoNbGFyZ2VzdF9ieXRlcxgDIAEoDSpICgNXYXkSEwoPV0FZX1VOU1BFQ0lGSUVEEAASDQoJV0FZX1dIT0xFEAESDQoJV0FZX1BBR0VTEAISDgoKV0FZX1NUUkVBTRADMkQKBkNlbnN1cxI6CgVDb3VudBIXLmNlbnN1cy52MS5Db3VudFJlcXVlc3QaGC5jZW5zdXMudjEuQ291bnRSZXNwb25zZWIGcHJvdG8z"
].map((base64) => Buffer.from(base64, "base64"));

export const Census = {
    typeName: "census.v1.Census",
    fileDescriptors,
    methods: {
        count: {
            path: "/census.v1.Census/Count",
            requestStream: false,
            responseStream: false,
            request: census.v1.CountRequest,
            response: census.v1.CountResponse
        },
    }
};
