// y[plane, row, column + j] = value[j] for j = 0..3, where that lies inside the map
// What a lane of conv2d.wgsl, of conv_transpose2d.wgsl or of their twins for subgroups does with four pixels of its
// patch. Put behind these files, whose output and params it uses; a workgroup is that of the file before.

fn store(plane: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.out_height || column >= params.out_width) {
    return;
  }
  let at = (plane * params.out_height + row) * params.out_width + column;
//: if VECTOR_OUTPUT
  output[at / 4] = Stored(value);
//: else
  output[at] = Stored(value.x);
  if (column + 1 < params.out_width) { output[at + 1] = Stored(value.y); }
  if (column + 2 < params.out_width) { output[at + 2] = Stored(value.z); }
  if (column + 3 < params.out_width) { output[at + 3] = Stored(value.w); }
//: end
}
