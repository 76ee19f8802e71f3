// Frames of any fields, written as extended XYZ: what ASE and this project's reader make of them.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "extxyz/extxyz.h"
#include "gtest/gtest.h"
#include "tests/formats/support.h"

namespace zn::formats {
namespace {

using nlohmann::json;
using testing::MakeColumn;

double RandomReal(std::mt19937& random) {
  const double special[] = {0.0,    -0.0,  1.0,     0.1,
                            1e22,   1e23,  5e-324,  1.7976931348623157e308,
                            1e-300, 1e300, 1.0 / 3, 12345.678901234567};
  if (random() % 4 == 0) return special[random() % std::size(special)];
  return std::ldexp(static_cast<double>(random()) - 2147483648.0,
                    static_cast<int>(random() % 200) - 130);
}

std::string RandomText(std::mt19937& random) {
  const char* special[] = {"",          "T",           "false", "5",      "1 2 3",     "1.5e3",
                           "nan",       "1,2",         "a b",   "\"",     "\\",        "a\\nb",
                           "[1]",       "{x}",         "'",     "=",      "_JSON [1]", "é",
                           "tab\there", "line\nbreak", " lead", "trail ", "mp-123-4",  "1e5",
                           "infinity",  "+.5",         "T F",   "1d5"};
  return special[random() % std::size(special)];
}

// A frame of fields that extended XYZ has a place for.
FrameBatch RandomFrame(std::mt19937& random) {
  FrameBatch batch;
  size_t n = random() % 5;
  batch.n_atoms = {static_cast<int32_t>(n)};
  auto reals = [&](size_t count) {
    std::vector<double> values(count);
    for (double& value : values) value = RandomReal(random);
    return Buffer::Own(std::move(values));
  };
  auto atoms = [&](const char* name, size_t width) {
    Shape inner = width == 1 ? Shape{} : Shape{static_cast<int64_t>(width)};
    batch.columns.push_back(
        MakeColumn(name, FieldKind::kAtom, DType::kFloat64, inner, reals(n * width)));
  };
  auto text = [&](const char* name, const json& value) {
    Column column;
    column.name = name;
    column.dtype = DType::kJson;
    column.text = {value.dump()};
    batch.columns.push_back(column);
  };
  std::vector<int64_t> numbers(n);
  for (int64_t& z : numbers) z = static_cast<int64_t>(random() % 119);
  batch.columns.push_back(MakeColumn("arrays.numbers", FieldKind::kAtom, DType::kInt64, {},
                                     Buffer::Own(std::move(numbers))));
  atoms("arrays.positions", 3);
  if (random() % 2) atoms("calc.forces", 3);
  if (random() % 2) atoms("arrays.momenta", 3);
  if (random() % 3 == 0) atoms("arrays.custom", 2);
  if (random() % 3 == 0) atoms("arrays.initial_charges", 1);
  if (random() % 3 == 0) {
    std::vector<int64_t> tags(n);
    for (int64_t& tag : tags) tag = static_cast<int32_t>(random());
    batch.columns.push_back(MakeColumn("arrays.tags", FieldKind::kAtom, DType::kInt64, {},
                                       Buffer::Own(std::move(tags))));
  }
  if (random() % 3 == 0) {
    std::vector<uint8_t> flags(n);
    for (uint8_t& flag : flags) flag = random() % 2;
    batch.columns.push_back(MakeColumn("arrays.flag", FieldKind::kAtom, DType::kBool, {},
                                       Buffer::Own(std::move(flags))));
  }
  if (random() % 3 == 0 && n > 0) {
    json labels = json::array();
    for (size_t i = 0; i < n; ++i) labels.push_back("l" + std::to_string(random() % 100) + "'");
    text("arrays.label", labels);
  }
  if (random() % 3 == 0 && n > 0)
    text("constraints", json::parse(R"([{"name":"FixAtoms","kwargs":{"indices":[0]}}])"));
  bool cell = random() % 2;
  if (cell)
    batch.columns.push_back(
        MakeColumn("cell", FieldKind::kFrame, DType::kFloat64, {3, 3},
                   Buffer::Own<double>({1, 0.5, 0, 0, RandomReal(random), 0, -3, 0, 4})));
  std::vector<uint8_t> pbc = {static_cast<uint8_t>(random() % 2), 1, 0};
  batch.columns.push_back(
      MakeColumn("pbc", FieldKind::kFrame, DType::kBool, {3}, Buffer::Own(std::move(pbc))));
  if (random() % 2)
    batch.columns.push_back(
        MakeColumn("calc.energy", FieldKind::kFrame, DType::kFloat64, {}, reals(1)));
  if (random() % 2)
    batch.columns.push_back(
        MakeColumn("calc.stress", FieldKind::kFrame, DType::kFloat64, {6}, reals(6)));
  if (random() % 2)
    batch.columns.push_back(
        MakeColumn("calc.dipole", FieldKind::kFrame, DType::kFloat64, {3}, reals(3)));
  batch.columns.push_back(
      MakeColumn("info.integer", FieldKind::kFrame, DType::kInt64, {},
                 Buffer::Own<int64_t>({static_cast<int64_t>(random()) - (int64_t{1} << 40)})));
  batch.columns.push_back(
      MakeColumn("info.real", FieldKind::kFrame, DType::kFloat64, {}, reals(1)));
  batch.columns.push_back(
      MakeColumn("info.one", FieldKind::kFrame, DType::kFloat64, {1}, reals(1)));
  batch.columns.push_back(
      MakeColumn("info.vector", FieldKind::kFrame, DType::kFloat64, {4}, reals(4)));
  batch.columns.push_back(
      MakeColumn("info.matrix", FieldKind::kFrame, DType::kFloat64, {2, 2}, reals(4)));
  batch.columns.push_back(MakeColumn("info.flag", FieldKind::kFrame, DType::kBool, {},
                                     Buffer::Own<uint8_t>({static_cast<uint8_t>(random() % 2)})));
  batch.columns.push_back(MakeColumn("info.key with = and \"", FieldKind::kFrame, DType::kInt64, {},
                                     Buffer::Own<int64_t>({1})));
  text("info.text", RandomText(random));
  text("info.nested", json{{"a", {1, 2.5, nullptr, RandomText(random)}}, {"b", {{"c", true}}}});
  return batch;
}

TEST(ExtxyzRoundTrip, OwnReaderGivesTheSame) {
  testing::TempFolder folder;
  std::mt19937 random(11);
  std::string text;
  std::vector<json> want;
  for (int i = 0; i < 500; ++i) {
    FrameBatch frame = RandomFrame(random);
    ASSERT_TRUE(ValidateBatch(frame)) << ValidateBatch(frame).error().message;
    ASSERT_TRUE(AppendExtxyz(frame, 0, text));
    std::string one;
    AppendJsonFrame(frame, 0, one);
    want.push_back(json::parse(one));
  }
  testing::ReadResult got = testing::ReadAll(ExtxyzFormat(), folder.Write("t.xyz", text));
  ASSERT_EQ(got.error, "");
  ASSERT_EQ(got.frames.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    if (got.n_atoms[i] == 0)
      want[i].erase("arrays.flag");  // no words tell a column's type where there are no atoms
    if (got.n_atoms[i] == 0) got.frames[i].erase("arrays.flag");
    EXPECT_EQ(got.frames[i], want[i]) << i;
  }
}

// The format's first reader is ASE: what it makes of our text is what users get.
TEST(ExtxyzRoundTrip, AseGivesTheSame) {
  if (std::system("/usr/bin/python3 -c 'import ase.io.extxyz' 2>/dev/null") != 0)
    GTEST_SKIP() << "python3-ase is not installed";
  testing::TempFolder folder;
  std::mt19937 random(12);
  std::string text, lines;
  for (int i = 0; i < 200; ++i) {
    FrameBatch frame = RandomFrame(random);
    ASSERT_TRUE(AppendExtxyz(frame, 0, text));
    AppendJsonFrame(frame, 0, lines);
    lines += '\n';
  }
  folder.Write("t.xyz", text);
  folder.Write("t.json", lines);
  std::string script = folder.Write("check.py", R"(
import json, math, sys
import numpy as np
from ase.io import read
def same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.array_equal(a, b)
wants = [json.loads(line) for line in open(sys.argv[2])]
images = read(sys.argv[1], ':', format='extxyz')
assert len(images) == len(wants), len(images)
for i, (atoms, want) in enumerate(zip(images, wants)):
    results = atoms.calc.results if atoms.calc else {}
    for field, value in want.items():
        kind, _, name = field.partition('.')
        if field == 'cell': got = atoms.cell.array
        elif field == 'pbc': got = atoms.pbc
        elif field == 'constraints':
            got, value = [c.index.tolist() for c in atoms.constraints], [c['kwargs']['indices'] for c in value]
        elif kind == 'calc': got = results.get(name, atoms.arrays.get(name))
        elif kind == 'info': got = atoms.info[name]
        elif name == 'positions': got = atoms.positions
        elif name == 'numbers': got = atoms.numbers
        else: got = atoms.arrays[name]
        if kind == 'arrays' and not len(atoms): continue
        if kind == 'calc' and not len(atoms): continue   # ASE 3.22 drops per-atom results of nothing
        good = got == value if isinstance(value, (str, dict, bool)) or isinstance(got, (str, dict)) else same(got, value)
        assert good, f'frame {i} {field}: {got!r} is not {value!r}'
        if isinstance(value, (int, str)) and kind == 'info':
            assert isinstance(got, str) == isinstance(value, str), f'frame {i} {field}: {got!r}'
)");
  std::string command = "/usr/bin/python3 '" + script + "' '" + folder.path() + "/t.xyz' '" +
                        folder.path() + "/t.json' 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char buffer[4096];
  while (size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  EXPECT_EQ(::pclose(pipe), 0) << output;
}

TEST(AppendExtxyz, NeedsPositions) {
  FrameBatch batch;
  batch.n_atoms = {1};
  std::string out = "before";
  auto result = AppendExtxyz(batch, 0, out);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(out, "before");
}

TEST(AppendExtxyz, WritesXWithoutNumbersAndKeepsNamesApart) {
  FrameBatch batch;
  batch.n_atoms = {1};
  batch.columns.push_back(MakeColumn("arrays.positions", FieldKind::kAtom, DType::kFloat32, {3},
                                     Buffer::Own<float>({0.1F, 2, 3})));
  batch.columns.push_back(
      MakeColumn("arrays.pos", FieldKind::kAtom, DType::kInt32, {}, Buffer::Own<int32_t>({4})));
  batch.columns.push_back(MakeColumn("arrays.a:b", FieldKind::kAtom, DType::kInt64, {},
                                     Buffer::Own<int64_t>({int64_t{1} << 40})));
  batch.columns.push_back(MakeColumn("arrays.z", FieldKind::kAtom, DType::kComplex128, {},
                                     Buffer::Own<double>({1, 2})));
  batch.columns.push_back(
      MakeColumn("info.pbc", FieldKind::kFrame, DType::kInt64, {}, Buffer::Own<int64_t>({5})));
  ASSERT_TRUE(ValidateBatch(batch));
  std::string out;
  ASSERT_TRUE(AppendExtxyz(batch, 0, out));
  EXPECT_EQ(out,
            "1\nProperties=species:S:1:pos:R:3:pos_:I:1:a_b:S:1 z=\"_JSON [[1.0,2.0]]\" pbc_=5\n"
            "X 0.1 2.0 3.0 4 1099511627776\n");
}

}  // namespace
}  // namespace zn::formats
