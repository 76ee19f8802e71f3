// What is read from an HDF5 file, decided once when it is opened: fields, and where their rows lie.
// H5MD and asebytes' ragged files each make a Plan; BatchBuilder turns it into batches on any
// number of threads.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hierarchy/hierarchy.h"
#include "zn/engine/field.h"
#include "zn/formats/reader.h"

namespace zn::formats {

/// Which row of a dataset belongs to a frame.
struct RowMap {
  int64_t limit = 0;           // frames at and beyond it have none
  std::vector<int64_t> table;  // by frame, -1 for none; empty: frame f is row f

  int64_t Row(int64_t frame) const {
    if (frame >= limit) return -1;
    return table.empty() ? frame : table[static_cast<size_t>(frame)];
  }
};

enum class Role {
  kAtoms,     // a row an atom; numbers are converted to integers (`integral`)
  kFrame,     // one value of a fixed shape
  kRagged,    // a row of values padded with NaN at its end, of a length of its own
  kText,      // strings: JSON, or quoted
  kCell,      // (D) or (D,D) as rows of a 3 x 3 matrix
  kPbc,       // (D) truth values
  kConstant,  // the same bytes in every frame (`constant`)
  kStep,      // increment and offset, or rows of integers
  kTime,      // likewise, of floats
  kBonds,     // tuples of atoms
  kJoined,    // rows of all frames joined, each frame's from starts[row] to starts[row + 1]
};

struct Field {
  std::string name;    // as it is handed on
  std::string source;  // path in the file, for messages
  Role role = Role::kFrame;
  std::shared_ptr<Dataset> data;
  /// Not sampled: the dataset has no axis of frames, and every frame has all of it.
  bool fixed = false;
  RowMap rows;
  std::vector<int64_t>
      inner;  // of the source, behind frame (and atom); a trailing axis of one may be dropped
  int64_t atoms = 0;  // kAtoms: extent of the source's axis of atoms
  bool flat = false;  // kAtoms: rows of all frames joined (asebytes' ragged files)
  double factor = 1;
  std::string attributes;
  bool integral = false;              // floats that are integers: to int64
  std::map<int64_t, int64_t> values;  // kAtoms: names of an enumeration as atomic numbers
  bool widen = false;                 // kAtoms: vectors of fewer than 3 components get zeros
  bool voigt = false;                 // kFrame: (3,3) to (xx, yy, zz, yz, xz, xy)
  bool nan_is_absent = false;         // rows of NaN only stand for "not there"
  bool plain_text = false;            // kText: strings are strings, whatever they look like
  bool empty_is_absent = false;       // kText
  std::vector<int64_t> lengths;       // kRagged: by frame, where the file says them
  DType dtype = DType::kFloat64;      // kConstant, kStep, kTime
  std::vector<std::byte> constant;    // kConstant: one frame's bytes
  double increment = 0, offset = 0;   // kTime without a dataset
  int64_t step_increment = 0, step_offset = 0;  // kStep without a dataset
  int64_t extrapolate_from =
      INT64_MAX;  // kStep, kTime with a dataset: from this frame on by increment and offset
  std::shared_ptr<Dataset> orders;  // kBonds: a third column
  Buffer fixed_bytes;                   // of `data` where it is fixed: read when the plan is made
  Buffer fixed_orders;
  std::vector<int64_t> starts;  // kJoined
};

struct Plan {
  std::shared_ptr<const Hierarchy> file;
  int64_t frames = 0;
  int64_t atoms = 0;  // in every frame, unless one of the next says otherwise

  /// Rows of atoms are padded with NaN: a frame has as many as `species` (else `positions`) have
  /// before it. Indices of fields.
  bool padded = false;
  int species = -1, positions = -1;
  /// n_atoms by frame; empty: not given.
  std::vector<int32_t> n_atoms;
  /// flat: first row of each frame.
  std::vector<int64_t> first_rows;

  /// Sorts atoms, and leaves rows out.
  std::shared_ptr<Dataset> ids;
  bool ids_fixed = false;
  RowMap id_rows;
  Buffer fixed_ids;
  std::optional<int64_t> absent_id;  // besides negative ones

  bool unwrap = false;
  int image = -1, cell = -1;  // indices of fields

  int64_t chunk_rows = 1;  // batches of a multiple of it read no chunk twice
  std::vector<Field> fields;
  std::vector<Warning> warnings;
};

}  // namespace zn::formats
