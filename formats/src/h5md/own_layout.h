// What ZnStore's H5MD files say of themselves besides H5MD, so that an import gets every field back
// exactly: the group `parameters/znstore`, which H5MD leaves to programs.
//
//   parameters/znstore         attribute version = 1
//     n_atoms                  (frames) int32
//     fields/0000, 0001, ...   attributes name, kind, attributes (JSON), data (path of the values)
//       frames                 (rows) int64, ascending: which frames have it; missing: all
//       lengths                (rows) int64: kind "ragged", whose values are the rows of all
//       frames, joined values                 of fields that have no place in H5MD
#pragma once

#include <cstdint>

namespace zn::formats::own {

inline constexpr char kGroup[] = "parameters/znstore";
inline constexpr int64_t kVersion = 1;
inline constexpr char kCreator[] = "ZnStore";

}  // namespace zn::formats::own
