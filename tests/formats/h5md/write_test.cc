// What zn-export writes as H5MD must come back from zn-import as it was: every byte of every field.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstring>

#include "tests/formats/support.h"
#include "zn/formats/h5md_writer.h"

namespace zn::formats {
namespace {

using testing::TempFolder;
using Contents = std::vector<std::map<std::string, std::string>>;

struct Sample {
  std::vector<FrameBatch> batches;
  H5mdContent content;
};

// Any bytes are a value of the type, but bool's, which are 0 and 1.
std::vector<std::byte> RandomBytes(DType dtype, int64_t elements) {
  std::vector<std::byte> bytes(static_cast<size_t>(elements) * ItemSize(dtype));
  for (std::byte& byte : bytes)
    byte = static_cast<std::byte>(*rc::gen::inRange(0, dtype == DType::kBool ? 2 : 256));
  return bytes;
}

Column RandomColumn(const FieldDescriptor& field, const std::vector<int32_t>& n_atoms) {
  Column column;
  column.name = field.name;
  column.kind = field.kind;
  column.dtype = field.dtype;
  column.inner = field.inner;
  column.attributes = field.attributes;
  const bool everywhere = *rc::gen::arbitrary<bool>() || field.name == "arrays.positions";
  int64_t rows = 0;
  for (const int32_t n : n_atoms) {
    const bool present = everywhere || *rc::gen::arbitrary<bool>();
    column.present.push_back(present);
    if (!present) continue;
    if (field.dtype == DType::kJson) {
      column.text.push_back(*rc::gen::element<std::string>("\"a\"", "\"\"", "3", "true", "[1, 2]",
                                                           "{\"k\": \"NaN\"}", "null", "\"ü\\n\""));
      continue;
    }
    int64_t count = field.kind == FieldKind::kAtom ? n : 1;
    if (field.kind == FieldKind::kRagged) {
      count = *rc::gen::inRange(0, 4);
      column.lengths.push_back(count);
    }
    rows += count;
  }
  if (field.dtype != DType::kJson)
    column.data = Buffer::Own(RandomBytes(field.dtype, rows * field.inner.Elements()));
  if (everywhere) column.present.clear();
  return column;
}

Sample RandomSample() {
  Sample sample;
  auto add = [&](std::string name, FieldKind kind, DType dtype, Shape inner,
                 std::string attributes) {
    FieldDescriptor field;
    field.name = std::move(name);
    field.kind = kind;
    field.dtype = dtype;
    field.inner = inner;
    field.attributes = std::move(attributes);
    sample.content.fields.push_back(std::move(field));
  };
  const std::string angstrom = "{\"unit\":\"Å\"}";
  add("arrays.positions", FieldKind::kAtom, DType::kFloat32, {3}, angstrom);
  add("arrays.numbers", FieldKind::kAtom, DType::kUInt8, {}, "");
  add("cell", FieldKind::kFrame, DType::kFloat64, {3, 3}, angstrom);
  add("pbc", FieldKind::kFrame, DType::kBool, {3}, "");
  add("calc.energy", FieldKind::kFrame, DType::kFloat64, {}, "{\"unit\":null}");
  add("connectivity", FieldKind::kRagged, DType::kInt32, {2}, "");
  add("info.text", FieldKind::kFrame, DType::kJson, {}, "");
  add("info.a/b", FieldKind::kRagged, DType::kFloat16, {}, "");
  // Names that collide with each other and with H5MD's.
  add("info.energy", FieldKind::kFrame, DType::kInt64, {2}, "");
  add("arrays.force", FieldKind::kAtom, DType::kComplex64, {}, "");
  add("calc.forces", FieldKind::kAtom, DType::kFloat64, {3}, "{\"unit\":\"eV/Å\"}");
  add("arrays.x", FieldKind::kAtom, DType::kUInt64, {}, "");
  add("calc.x", FieldKind::kAtom, DType::kInt16, {2, 2}, "");
  add("step", FieldKind::kFrame, DType::kInt32, {}, "");
  const auto shuffled = *rc::gen::inRange<size_t>(0, sample.content.fields.size());
  std::rotate(sample.content.fields.begin(),
              sample.content.fields.begin() + static_cast<std::ptrdiff_t>(shuffled),
              sample.content.fields.end());

  sample.content.present.assign(sample.content.fields.size(), 0);
  int32_t fewest = INT32_MAX;
  const bool constant = *rc::gen::arbitrary<bool>();
  const int32_t fixed = *rc::gen::inRange(0, 6);
  for (int b = *rc::gen::inRange(1, 4); b > 0; --b) {
    FrameBatch batch;
    for (int f = *rc::gen::inRange(1, 5); f > 0; --f) {
      batch.n_atoms.push_back(constant ? fixed : *rc::gen::inRange(0, 6));
      sample.content.max_atoms = std::max(sample.content.max_atoms, batch.n_atoms.back());
      fewest = std::min(fewest, batch.n_atoms.back());
    }
    for (size_t i = 0; i < sample.content.fields.size(); ++i) {
      batch.columns.push_back(RandomColumn(sample.content.fields[i], batch.n_atoms));
      for (size_t f = 0; f < batch.n_atoms.size(); ++f)
        sample.content.present[i] += batch.columns.back().HasFrame(f);
    }
    sample.content.frames += batch.frames();
    sample.batches.push_back(std::move(batch));
  }
  sample.content.constant_atoms = fewest == sample.content.max_atoms;
  return sample;
}

std::string Write(const Sample& sample, const std::string& path, const H5mdOptions& options) {
  auto writer = H5mdWriter::Create(path, sample.content, options);
  if (!writer) return writer.error().message;
  for (const FrameBatch& batch : sample.batches)
    if (auto added = (*writer)->Append(batch); !added) return added.error().message;
  auto finished = (*writer)->Finish();
  return finished ? "" : finished.error().message;
}

TEST(H5mdWriter, EveryFieldComesBackExactly) {
  TempFolder folder;
  EXPECT_TRUE(rc::check([&] {
    const Sample sample = RandomSample();
    H5mdOptions options;
    options.level = *rc::gen::element(0, 1, 6);
    options.chunk_bytes = *rc::gen::element<int64_t>(1, 64, 1 << 20);
    const std::string path = folder.path() + "/a.h5md";
    const std::string written = Write(sample, path, options);
    RC_ASSERT(written == "");
    Contents want;
    for (const FrameBatch& batch : sample.batches) testing::AddContents(batch, &want);
    std::string error;
    const Contents got = testing::FileContents(path, &error);
    RC_ASSERT(error == "");
    RC_ASSERT(got.size() == want.size());
    for (size_t f = 0; f < want.size(); ++f) RC_ASSERT(got[f] == want[f]);
  }));
}

// A row larger than a chunk may be is cut along the atoms; what is behind the last atom is fill.
TEST(H5mdWriter, CutsLargeRowsIntoChunks) {
  TempFolder folder;
  Sample sample;
  constexpr int32_t kAtoms = 3'000'001;
  FieldDescriptor field;
  field.name = "arrays.positions", field.kind = FieldKind::kAtom, field.inner = Shape{3};
  sample.content.fields = {field};
  sample.content.present = {2};
  sample.content.frames = 2, sample.content.max_atoms = kAtoms;
  for (int f = 0; f < 2; ++f) {
    std::vector<double> values(3 * static_cast<size_t>(kAtoms));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i % 1000) + f;
    FrameBatch batch;
    batch.n_atoms = {kAtoms};
    batch.columns.push_back(testing::MakeColumn("arrays.positions", FieldKind::kAtom,
                                                DType::kFloat64, {3},
                                                Buffer::Own(std::move(values))));
    sample.batches.push_back(std::move(batch));
  }
  const std::string path = folder.path() + "/a.h5md";
  H5mdOptions options;
  options.level = 1;
  ASSERT_EQ(Write(sample, path, options), "");
  Contents want;
  for (const FrameBatch& batch : sample.batches) testing::AddContents(batch, &want);
  std::string error;
  EXPECT_TRUE(testing::FileContents(path, &error) == want) << error;
}

}  // namespace
}  // namespace zn::formats
