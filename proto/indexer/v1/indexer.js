// Generated from indexer.proto by muxplug-proto. Do not edit.
/*eslint-disable block-scoped-var, id-length, no-control-regex, no-magic-numbers, no-mixed-operators, no-prototype-builtins, no-redeclare, no-shadow, no-var, sort-vars, default-case, jsdoc/require-param*/
import $protobuf from "muxplug/protobuf";

const $Reader = $protobuf.Reader, $Writer = $protobuf.Writer, $util = $protobuf.util;
const $Object = $util.global.Object, $undefined = $util.global.undefined, $Error = $util.global.Error, $RangeError = $util.global.RangeError;

const $root = {};

export const indexer = $root.indexer = (() => {

    const indexer = {};

    indexer.v1 = (function() {

        const v1 = {};

        v1.IndexRequest = (function() {

            const IndexRequest = function (properties) {
                this.files = 0;
                this.store = 0;
                this.cache = 0;
                this.dir = "";
                this.die = false;
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            IndexRequest.prototype.files = 0;
            IndexRequest.prototype.store = 0;
            IndexRequest.prototype.cache = 0;
            IndexRequest.prototype.dir = "";
            IndexRequest.prototype.die = false;

            IndexRequest.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.files != null && $Object.hasOwnProperty.call(message, "files") && message.files !== 0)
                    writer.uint32(8).uint32(message.files);
                if (message.store != null && $Object.hasOwnProperty.call(message, "store") && message.store !== 0)
                    writer.uint32(16).uint32(message.store);
                if (message.cache != null && $Object.hasOwnProperty.call(message, "cache") && message.cache !== 0)
                    writer.uint32(24).uint32(message.cache);
                if (message.dir != null && $Object.hasOwnProperty.call(message, "dir") && message.dir !== "")
                    writer.uint32(34).string(message.dir);
                if (message.die != null && $Object.hasOwnProperty.call(message, "die") && message.die !== false)
                    writer.uint32(40).bool(message.die);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            IndexRequest.decode = function (reader, length, _end, _depth, _target) {
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
                message = _target || new $root.indexer.v1.IndexRequest();
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
                                message.files = value;
                            else
                                message.files = IndexRequest.prototype.files;
                            continue;
                        }
                    case 2: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.store = value;
                            else
                                message.store = IndexRequest.prototype.store;
                            continue;
                        }
                    case 3: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.cache = value;
                            else
                                message.cache = IndexRequest.prototype.cache;
                            continue;
                        }
                    case 4: {
                            if (wireType !== 2)
                                break;
                            if ((value = reader.stringVerify()).length)
                                message.dir = value;
                            else
                                message.dir = IndexRequest.prototype.dir;
                            continue;
                        }
                    case 5: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.bool())
                                message.die = value;
                            else
                                message.die = IndexRequest.prototype.die;
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

            return IndexRequest;
        })();

        v1.IndexResponse = (function() {

            const IndexResponse = function (properties) {
                this.files = 0;
                this.cached = 0;
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            IndexResponse.prototype.files = 0;
            IndexResponse.prototype.cached = 0;

            IndexResponse.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.files != null && $Object.hasOwnProperty.call(message, "files") && message.files !== 0)
                    writer.uint32(8).uint32(message.files);
                if (message.cached != null && $Object.hasOwnProperty.call(message, "cached") && message.cached !== 0)
                    writer.uint32(16).uint32(message.cached);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            IndexResponse.decode = function (reader, length, _end, _depth, _target) {
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
                message = _target || new $root.indexer.v1.IndexResponse();
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
                                message.files = value;
                            else
                                message.files = IndexResponse.prototype.files;
                            continue;
                        }
                    case 2: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.cached = value;
                            else
                                message.cached = IndexResponse.prototype.cached;
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

            return IndexResponse;
        })();

        v1.FindRequest = (function() {

            const FindRequest = function (properties) {
                this.store = 0;
                this.prefix = "";
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            FindRequest.prototype.store = 0;
            FindRequest.prototype.prefix = "";

            FindRequest.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.store != null && $Object.hasOwnProperty.call(message, "store") && message.store !== 0)
                    writer.uint32(8).uint32(message.store);
                if (message.prefix != null && $Object.hasOwnProperty.call(message, "prefix") && message.prefix !== "")
                    writer.uint32(18).string(message.prefix);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            FindRequest.decode = function (reader, length, _end, _depth, _target) {
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
                message = _target || new $root.indexer.v1.FindRequest();
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
                                message.store = value;
                            else
                                message.store = FindRequest.prototype.store;
                            continue;
                        }
                    case 2: {
                            if (wireType !== 2)
                                break;
                            if ((value = reader.stringVerify()).length)
                                message.prefix = value;
                            else
                                message.prefix = FindRequest.prototype.prefix;
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

            return FindRequest;
        })();

        v1.FindResponse = (function() {

            const FindResponse = function (properties) {
                this.paths = [];
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            FindResponse.prototype.paths = $util.emptyArray;

            FindResponse.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.paths != null && message.paths.length)
                    for (let i = 0; i < message.paths.length; ++i)
                        writer.uint32(10).string(message.paths[i]);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            FindResponse.decode = function (reader, length, _end, _depth, _target) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $Reader.recursionLimit)
                    throw $Error("max depth exceeded");
                let end, message;
                if (length === $undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw $RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = _target || new $root.indexer.v1.FindResponse();
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
                            if (wireType !== 2)
                                break;
                            if (!(message.paths && message.paths.length))
                                message.paths = [];
                            message.paths.push(reader.stringVerify());
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

            return FindResponse;
        })();

        return v1;
    })();

    return indexer;
})();


export const IndexRequest = indexer.v1.IndexRequest;
export const IndexResponse = indexer.v1.IndexResponse;
export const FindRequest = indexer.v1.FindRequest;
export const FindResponse = indexer.v1.FindResponse;

const fileDescriptors = () => [
    "ChhpbmRleGVyL3YxL2luZGV4ZXIucHJvdG8SCmluZGV4ZXIudjEiVQoMSW5kZXhSZXF1ZXN0Eg0KBWZpbGVzGAEgASgNEg0KBXN0b3JlGAIgASgNEg0KBWNhY2hlGAMgASgNEgsKA2RpchgEIAEoCRILCgNkaWUYBSABKAgiLgoNSW5kZXhSZXNwb25zZRINCgVmaWxlcxgBIAEoDRIOCgZjYWNoZWQYAiABKA0iLAoLRmluZFJlcXVlc3QSDQoFc3RvcmUYASABKA0SDgoGcHJlZml4GAIgASgJIh0KDEZpbmRSZXNwb25zZRINCgVwYXRocxgBIAMoCTKCAQoHSW5kZXhlchI8CgVJbmRleBIYLmluZGV4ZXIudjEuSW5kZXhSZXF1ZXN0GhkuaW5kZXhlci52MS5JbmRleFJlc3BvbnNlEjkKBEZpbmQSFy5pbmRleGVyLnYxLkZpbmRSZXF1ZXN0GhguaW5kZXhlci52MS5GaW5kUmVzcG9uc2ViBnByb3RvMw=="
].map((base64) => Buffer.from(base64, "base64"));

export const Indexer = {
    typeName: "indexer.v1.Indexer",
    fileDescriptors,
    methods: {
        index: {
            path: "/indexer.v1.Indexer/Index",
            requestStream: false,
            responseStream: false,
            request: indexer.v1.IndexRequest,
            response: indexer.v1.IndexResponse
        },
        find: {
            path: "/indexer.v1.Indexer/Find",
            requestStream: false,
            responseStream: false,
            request: indexer.v1.FindRequest,
            response: indexer.v1.FindResponse
        },
    }
};
