export type { Reader, Writer } from 'protobufjs/minimal.js'
