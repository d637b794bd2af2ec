// What generated code needs at run time.
export { default } from 'protobufjs/minimal.js'
