// Bodies as clients send them, and as nobody should.
#include "api/decode_frames.h"

#include <gtest/gtest.h>

#include <cstring>

#include "api/decode_json.h"
#include "api/msgpack_writer.h"
#include "http/body.h"

namespace zn::server {
namespace {

using msgpack::KeyKind;

template <class T>
std::vector<T> Values(const Buffer& buffer) {
  std::vector<T> values(buffer.size() / sizeof(T));
  std::memcpy(values.data(), buffer.data(), values.size() * sizeof(T));
  return values;
}

template <class T>
void PutArray(std::string& out, DType dtype, const Shape& shape, const std::vector<T>& values, KeyKind keys = KeyKind::kBin) {
  msgpack::PutNumpyHead(out, dtype, shape, values.size() * sizeof(T), keys);
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

Result<FrameBatch> Decode(const std::string& body, const FitOptions& options = {}, bool json = false) {
  FrameListReader reader(BufferOf(body), {json});
  ZN_ASSIGN_OR_RETURN(auto frames, reader.Next(SIZE_MAX));
  ZN_RETURN_IF_ERROR(reader.Next(SIZE_MAX));
  return FitFrames(std::move(frames), options);
}

Result<FrameBatch> DecodeJson(const std::string& body, const FitOptions& options = {}) {
  ZN_ASSIGN_OR_RETURN(std::string msgpack, JsonToMsgpack(body));
  return Decode(msgpack, options, true);
}

FieldDescriptor Field(const char* name, FieldKind kind, DType dtype, Shape inner = {}) {
  FieldDescriptor field;
  field.name = name;
  field.kind = kind;
  field.dtype = dtype;
  field.inner = inner;
  return field;
}

TEST(DecodeFrames, TakesArraysWithEitherKindOfKey) {
  for (const KeyKind keys : {KeyKind::kBin, KeyKind::kStr}) {
    std::string body;
    msgpack::PutArrayHead(body, 2);
    for (int n : {1, 2}) {
      msgpack::PutMapHead(body, 2);
      msgpack::PutString(body, "positions");
      PutArray<float>(body, DType::kFloat32, Shape{n, 3}, std::vector<float>(static_cast<size_t>(3 * n), 1.5f), keys);
      msgpack::PutKey(body, "energy", keys);  // names come as bytes from those who pack bytes
      PutArray<double>(body, DType::kFloat64, Shape{}, {-2.0 * n}, keys);
    }
    auto batch = Decode(body);
    ASSERT_TRUE(batch) << batch.error().message;
    EXPECT_EQ(batch->n_atoms, (std::vector<int32_t>{1, 2}));
    const Column* positions = batch->Find("arrays.positions");
    ASSERT_TRUE(positions);
    EXPECT_EQ(positions->kind, FieldKind::kAtom);
    EXPECT_EQ(positions->inner, Shape{3});
    EXPECT_EQ(positions->data.size(), 36u);
    EXPECT_EQ(Values<double>(batch->Find("calc.energy")->data), (std::vector<double>{-2, -4}));
    EXPECT_TRUE(ValidateBatch(*batch));
  }
}

TEST(DecodeFrames, JsonNumbersTakeTheFieldsDtypeExactlyOrNotAtAll) {
  const std::vector<FieldDescriptor> fields = {Field("calc.energy", FieldKind::kFrame, DType::kFloat32),
                                               Field("arrays.numbers", FieldKind::kAtom, DType::kUInt8)};
  FitOptions options;
  options.fields = fields;
  auto good = DecodeJson(R"([{"energy": 0.1, "species": [1, 255]}, {"energy": "NaN"}, {"energy": 3}])", options);
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(Values<float>(good->Find("calc.energy")->data)[0], 0.1f);
  EXPECT_EQ(good->Find("arrays.numbers")->present, (std::vector<uint8_t>{1, 0, 0}));
  for (const char* bad : {R"({"energy": 0.12345678901})", R"({"energy": 16777217})", R"({"energy": 1e300})",
                          R"({"species": [256]})", R"({"species": [-1]})", R"({"species": [1.5]})", R"({"energy": "high"})"}) {
    auto refused = DecodeJson(bad, options);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::kTypeMismatch) << bad << ": " << refused.error().message;
  }
  options.cast = true;
  auto cast = DecodeJson(R"({"energy": 0.12345678901})", options);
  ASSERT_TRUE(cast);
  EXPECT_EQ(Values<float>(cast->Find("calc.energy")->data)[0], 0.12345678901f);
}

TEST(DecodeFrames, BinaryDtypesAreConvertedOnlyWithoutLoss) {
  const std::vector<FieldDescriptor> fields = {Field("calc.energy", FieldKind::kFrame, DType::kFloat32)};
  FitOptions options;
  options.fields = fields;
  for (const auto& [value, fits] : {std::pair(0.5, true), std::pair(0.1, false)}) {
    std::string body;
    msgpack::PutMapHead(body, 1);
    msgpack::PutString(body, "energy");
    PutArray<double>(body, DType::kFloat64, Shape{}, {value});
    auto batch = Decode(body, options);
    EXPECT_EQ(batch.has_value(), fits) << value;
    if (!batch) EXPECT_EQ(batch.error().code, ErrorCode::kTypeMismatch);
    options.cast = true;
    EXPECT_TRUE(Decode(body, options));
    options.cast = false;
  }
}

TEST(DecodeFrames, NewFieldsGetTheirKindFromNameAndShape) {
  auto batch = DecodeJson(R"([{"arrays.tags": [0, 1], "cell": [[9,0,0],[0,9,0],[0,0,9]], "pbc": [1, 1, 0], "info.name": "a",
                               "info.peaks": [1, 2, 3], "info.tree": {"a": [1, null]}, "species": ["H", "Cl"], "info.note": "NaN"},
                              {"arrays.tags": [5], "info.peaks": [], "info.tree": [1, [2]], "info.name": null}])");
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(batch->n_atoms, (std::vector<int32_t>{2, 1}));
  EXPECT_EQ(batch->Find("arrays.tags")->dtype, DType::kInt64);
  EXPECT_EQ(batch->Find("cell")->dtype, DType::kFloat64);  // lengths are no integers, whatever JSON says
  EXPECT_EQ(batch->Find("pbc")->dtype, DType::kBool);
  EXPECT_EQ(Values<int64_t>(batch->Find("arrays.numbers")->data), (std::vector<int64_t>{1, 17}));
  const Column* peaks = batch->Find("info.peaks");
  EXPECT_EQ(peaks->kind, FieldKind::kRagged);
  EXPECT_EQ(peaks->lengths, (std::vector<int64_t>{3, 0}));
  EXPECT_EQ(batch->Find("info.tree")->text, (std::vector<std::string>{R"({"a":[1,null]})", "[1,[2]]"}));
  EXPECT_EQ(batch->Find("info.name")->present, (std::vector<uint8_t>{1, 0}));
  EXPECT_EQ(batch->Find("info.note")->text[0], "\"NaN\"");
  EXPECT_TRUE(ValidateBatch(*batch));
}

TEST(DecodeFrames, DisagreeingAtomCountsAreTheClientsMistake) {
  for (const char* bad : {R"({"positions": [[0,0,0],[1,1,1]], "species": [1]})", R"({"n_atoms": 3, "species": [1]})",
                          R"({"n_atoms": -1})", R"({"positions": [[0,0,0]], "pos": [[0,0,0]]})", R"([{}, 5])", R"("frames")", "[[]]"}) {
    auto refused = DecodeJson(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument) << bad << ": " << refused.error().message;
  }
  const int32_t two = 2;
  FitOptions options;
  options.n_atoms = {&two, 1};
  EXPECT_EQ(DecodeJson(R"({"species": [1]})", options).error().code, ErrorCode::kInvalidArgument);
}

TEST(DecodeFrames, ComplexNumbersAreReadAsTheyAreWritten) {
  const std::vector<FieldDescriptor> fields = {Field("info.c", FieldKind::kFrame, DType::kComplex128, Shape{2})};
  FitOptions options;
  options.fields = fields;
  auto batch = DecodeJson(R"({"info.c": [[1, 2], [3.5, "Infinity"]]})", options);
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(Values<double>(batch->Find("info.c")->data)[2], 3.5);
}

TEST(DecodeFrames, BigEndianAndTextArraysAreUnderstood) {
  const uint32_t big[] = {0x0000803f, 0x00000040};  // 1.0f, 2.0f with their bytes turned
  auto value = ArrayValue(">f4", Shape{2}, Buffer::Copy(std::as_bytes(std::span(big))));
  ASSERT_TRUE(value);
  EXPECT_EQ(Values<float>(value->data), (std::vector<float>{1, 2}));
  const uint32_t text[] = {'H', 0, 'C', 'l', 0x1F600, 0};
  auto texts = ArrayValue("<U2", Shape{3}, Buffer::Copy(std::as_bytes(std::span(text))));
  ASSERT_TRUE(texts) << texts.error().message;
  EXPECT_EQ(texts->text, "[\"H\",\"Cl\",\"\xF0\x9F\x98\x80\"]");
  for (const auto& [dtype, shape] : {std::pair("<f4", Shape{3}), std::pair("<f4", Shape{INT64_MAX, 4}), std::pair("<V8", Shape{1}),
                                     std::pair("O", Shape{1}), std::pair("", Shape{}), std::pair("<U99999999999", Shape{1}),
                                     std::pair("<f4", Shape{2'000'000'000, 0}), std::pair("<U0", Shape{2'000'000'000})}) {
    EXPECT_FALSE(ArrayValue(dtype, shape, Buffer::Copy(std::as_bytes(std::span(big))))) << dtype << shape.ToString();
  }
}

std::string ColumnsOf(int64_t rows, bool with_ids) {
  std::string body;
  const auto array = [&body](const char* name, const char* dtype, int64_t n, const std::string& data) {
    msgpack::PutString(body, name);
    msgpack::PutMapHead(body, 3);
    msgpack::PutString(body, "dtype");
    msgpack::PutString(body, dtype);
    msgpack::PutString(body, "shape");
    msgpack::PutShape(body, Shape{n});
    msgpack::PutString(body, "data");
    msgpack::PutBin(body, data);
  };
  msgpack::PutMapHead(body, with_ids ? 4 : 3);
  msgpack::PutString(body, "n_frames");
  msgpack::PutInteger(body, 2);
  const int32_t counts[] = {1, 2};
  array("n_atoms", "<i4", 2, std::string(reinterpret_cast<const char*>(counts), sizeof counts));
  const int64_t ids[] = {7, 9};
  if (with_ids) array("ids", "<i8", 2, std::string(reinterpret_cast<const char*>(ids), sizeof ids));
  msgpack::PutString(body, "fields");
  msgpack::PutMapHead(body, 2);
  msgpack::PutString(body, "species");
  msgpack::PutMapHead(body, 4);
  msgpack::PutString(body, "kind");
  msgpack::PutString(body, "atom");
  msgpack::PutString(body, "dtype");
  msgpack::PutString(body, "|u1");
  msgpack::PutString(body, "shape");
  msgpack::PutShape(body, Shape{rows});
  msgpack::PutString(body, "data");
  msgpack::PutBin(body, std::string(static_cast<size_t>(rows), '\x06'));
  msgpack::PutString(body, "info.name");
  msgpack::PutMapHead(body, 3);
  msgpack::PutString(body, "dtype");
  msgpack::PutString(body, "|O");
  msgpack::PutString(body, "data");
  msgpack::PutArrayHead(body, 1);
  msgpack::PutString(body, "second");
  msgpack::PutString(body, "present");
  msgpack::PutBin(body, std::string("\0\1", 2));
  return body;
}

TEST(DecodeColumns, JoinsRowsAndPresence) {
  const Buffer body = BufferOf(ColumnsOf(3, true));
  msgpack::Reader reader({reinterpret_cast<const char*>(body.data()), body.size()});
  auto columns = ReadColumns(reader, body, {});
  ASSERT_TRUE(columns) << columns.error().message;
  EXPECT_TRUE(reader.done());
  EXPECT_EQ(columns->batch.n_atoms, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(columns->ids, (std::vector<int64_t>{7, 9}));
  EXPECT_EQ(columns->batch.Find("arrays.numbers")->data.size(), 3u);
  EXPECT_EQ(columns->batch.Find("info.name")->text, std::vector<std::string>{"\"second\""});
  EXPECT_TRUE(ValidateBatch(columns->batch));
}

TEST(DecodeColumns, RowsThatAreNotTheAtomsAreRefused) {
  for (int64_t rows : {0, 2, 4}) {
    const Buffer body = BufferOf(ColumnsOf(rows, false));
    msgpack::Reader reader({reinterpret_cast<const char*>(body.data()), body.size()});
    auto columns = ReadColumns(reader, body, {});
    ASSERT_FALSE(columns);
    EXPECT_EQ(columns.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(DecodeColumns, EveryCutIsAnError) {
  const std::string whole = ColumnsOf(3, true);
  for (size_t size = 0; size < whole.size(); ++size) {
    const Buffer body = BufferOf(whole.substr(0, size));
    msgpack::Reader reader({reinterpret_cast<const char*>(body.data()), body.size()});
    EXPECT_FALSE(ReadColumns(reader, body, {})) << size;
  }
}

TEST(DecodeJson, RefusesDepthAndHugeNumbers) {
  EXPECT_FALSE(JsonToMsgpack(std::string(100'000, '[')));
  EXPECT_FALSE(JsonToMsgpack("[1e999]"));
  EXPECT_FALSE(JsonToMsgpack("{\"a\": NaN}"));
  EXPECT_TRUE(JsonToMsgpack(std::string(60, '[') + std::string(60, ']')));
}

TEST(MsgpackScanner, FindsTheEndOfAValueByteByByte) {
  std::string body;
  for (int i = 0; i < 3; ++i) {
    msgpack::PutMapHead(body, 1);
    msgpack::PutString(body, "positions");
    PutArray<float>(body, DType::kFloat32, Shape{100, 3}, std::vector<float>(300, 1.0f));
  }
  msgpack::Scanner scanner;
  std::vector<size_t> ends;
  for (size_t i = 0; i < body.size(); ++i) {
    size_t used = 0;
    auto done = scanner.Feed(std::string_view(body).substr(i, 1), &used);
    ASSERT_TRUE(done);
    if (*done) ends.push_back(i + 1);
  }
  EXPECT_EQ(ends, (std::vector<size_t>{body.size() / 3, 2 * body.size() / 3, body.size()}));
}

TEST(DecodeNpy, ReadsWhatNumpyWrites) {
  const auto file = [](const std::string& header, const std::string& data) {
    std::string text = "\x93NUMPY";
    text += std::string("\x01\x00", 2);
    text += static_cast<char>(header.size());
    text += '\0';
    return BufferOf(text + header + data);
  };
  const float values[] = {1, 2, 3, 4, 5, 6};
  const std::string data(reinterpret_cast<const char*>(values), sizeof values);
  auto c = ReadNpy(file("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", data));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->shape, (Shape{2, 3}));
  auto f = ReadNpy(file("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}\n", data));
  ASSERT_TRUE(f) << f.error().message;
  EXPECT_EQ(Values<float>(f->data), (std::vector<float>{1, 3, 5, 2, 4, 6}));
  for (const char* bad : {"{'descr': '|O', 'fortran_order': False, 'shape': (6,)}", "{'descr': '<f4', 'shape': (6,)", "{}",
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (7,)}",
                          "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}",
                          "{'descr': '<f4', 'fortran_order': True, 'shape': (4611686018427387904, 4)}"})
    EXPECT_FALSE(ReadNpy(file(bad, data))) << bad;
  auto frames = SplitFrames("positions", *c);
  ASSERT_TRUE(frames);
  EXPECT_EQ(frames->size(), 2u);
}

}  // namespace
}  // namespace zn::server
