import protobuf from 'protobufjs';
import type { Values } from './cases.ts';

/** What is needed of onnx.proto: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto */
const schema = protobuf.parse(`
  syntax = "proto3";
  message Model { int64 ir_version = 1; Graph graph = 7; repeated OperatorSet opset_import = 8; }
  message OperatorSet { string domain = 1; int64 version = 2; }
  message Graph {
    repeated Node node = 1; string name = 2; repeated Tensor initializer = 5;
    repeated ValueInfo input = 11; repeated ValueInfo output = 12;
  }
  message Node {
    repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4;
    repeated Attribute attribute = 5;
  }
  message Attribute { string name = 1; repeated int64 ints = 8; int32 type = 20; }
  message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
  message ValueInfo { string name = 1; Type type = 2; }
  message Type { TensorType tensor_type = 1; }
  message TensorType { int32 elem_type = 1; Shape shape = 2; }
  message Shape { repeated Dimension dim = 1; }
  message Dimension { int64 dim_value = 1; }
`);
const Model = schema.root.lookupType('Model');
/** TensorProto.DataType.FLOAT and AttributeProto.AttributeType.INTS */
const [FLOAT, INTS] = [1, 7];

export interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  /** Lists of integers by name. */
  readonly attributes?: Readonly<Record<string, readonly number[]>>;
}

/** Shapes of the values that go in or out, by their names. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

/** A model file of f32 tensors in the operator set 17; `constants` are its weights. */
export function onnxModel(
  nodes: readonly Node[],
  inputs: Shapes,
  outputs: Shapes,
  constants: Readonly<Record<string, Values>> = {},
): Uint8Array {
  const info = ([name, shape]: [string, readonly number[]]) => ({
    name,
    type: { tensorType: { elemType: FLOAT, shape: { dim: shape.map(length => ({ dimValue: length })) } } },
  });
  const model = {
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'case',
      node: nodes.map(({ op, inputs, output, attributes = {} }) => ({
        name: output,
        opType: op,
        input: inputs,
        output: [output],
        attribute: Object.entries(attributes).map(([name, ints]) => ({ name, ints, type: INTS })),
      })),
      initializer: Object.entries(constants).map(([name, { shape, data }]) => ({
        name,
        dims: shape,
        dataType: FLOAT,
        rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      })),
      input: Object.entries(inputs).map(info),
      output: Object.entries(outputs).map(info),
    },
  };
  return Model.encode(Model.fromObject(model)).finish();
}
