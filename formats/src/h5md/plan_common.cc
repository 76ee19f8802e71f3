#include <algorithm>
#include <cmath>
#include <cstring>

#include "h5md/plan_h5md.h"
#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

constexpr int64_t kScanBytes = 4 << 20;
// Above this a column of vectors is taken to be ragged without looking: looking would mean reading
// it twice.
constexpr int64_t kMaxScanned = 64 << 20;

template <class T>
void ScanRows(const std::byte* bytes, int64_t rows, int64_t outer, int64_t rest, NanScan& scan) {
  auto value = [&](int64_t i) {
    T v;
    std::memcpy(&v, bytes + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return v;
  };
  for (int64_t row = 0; row < rows; ++row) {
    bool any = false, tail = false;
    for (int64_t i = 0; i < outer; ++i) {
      tail = true;
      for (int64_t j = 0; j < rest; ++j)
        tail = tail && std::isnan(value((row * outer + i) * rest + j));
      any = any || !tail;
    }
    scan.any_value = scan.any_value || any;
    scan.padded_tail = scan.padded_tail || (any && tail);
  }
}

}  // namespace

Result<NanScan> ScanNan(const Dataset& data, bool stop_at_value) {
  NanScan scan;
  if (data.row_bytes() == 0) return scan;
  auto inner = data.inner();
  const int64_t outer = inner.empty() ? 1 : inner[0];
  const int64_t rest = outer == 0 ? 0 : data.row_elements() / outer;
  int64_t block = std::max<int64_t>(1, kScanBytes / data.row_bytes());
  block = std::max<int64_t>(1, block / data.chunk_rows()) * data.chunk_rows();
  std::vector<int64_t> rows;
  for (int64_t first = 0; first < data.rows(); first += block) {
    rows.clear();
    for (int64_t row = first; row < std::min(data.rows(), first + block); ++row)
      rows.push_back(row);
    ZN_ASSIGN_OR_RETURN(Buffer bytes, data.ReadRows(rows));
    int64_t count = static_cast<int64_t>(rows.size());
    if (data.dtype() == DType::kFloat32) {
      ScanRows<float>(bytes.data(), count, outer, rest, scan);
    } else {
      ScanRows<double>(bytes.data(), count, outer, rest, scan);
    }
    if (scan.any_value && (stop_at_value || scan.padded_tail)) break;
  }
  return scan;
}

Result<> SetAseFrameRole(Field& field) {
  if (field.data->is_text()) {
    field.role = Role::kText;
    field.empty_is_absent = true;
    return {};
  }
  field.role = Role::kFrame;
  field.inner = field.data->inner();
  if (field.data->dtype() != DType::kFloat64 && field.data->dtype() != DType::kFloat32) return {};
  const CanonicalField* canonical = FindCanonical(field.name);
  bool vector =
      !field.inner.empty() && (canonical == nullptr || canonical->kind != FieldKind::kFrame);
  if (vector && field.data->rows() * field.data->row_bytes() > kMaxScanned) {
    field.role = Role::kRagged;
    field.nan_is_absent = true;
    return {};
  }
  ZN_ASSIGN_OR_RETURN(NanScan scan, ScanNan(*field.data, !vector));
  // A column is made for a first value. Nothing but NaN in it: that value was a NaN, and the others
  // may be.
  field.nan_is_absent = scan.any_value;
  if (vector && scan.padded_tail) field.role = Role::kRagged;
  return {};
}

Result<> LoadFixed(Field& field) {
  if (!field.fixed || !field.data || field.data->is_text()) return {};
  auto load = [](const Dataset& data) -> Result<Buffer> {
    std::vector<int64_t> rows(static_cast<size_t>(data.rows()));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
    return data.ReadRows(rows);
  };
  if (field.data->rows() > INT32_MAX) {
    return field.data->file().Fail(ErrorCode::kTooLarge, field.source,
                                   "has more rows than a frame can have",
                                   "check its shape with h5ls");
  }
  ZN_ASSIGN_OR_RETURN(field.fixed_bytes, load(*field.data));
  if (field.orders) {
    ZN_ASSIGN_OR_RETURN(field.fixed_orders, load(*field.orders));
  }
  return {};
}

std::string UnknownUnit(const std::string& source_unit) {
  std::string text = "{\"unit\":null";
  if (!source_unit.empty()) {
    text += ",\"source_unit\":";
    AppendJsonString(source_unit, text);
  }
  return text + "}";
}

bool UsableName(const std::string& name, const std::string& path, std::vector<Warning>& warnings) {
  bool usable = !name.empty() && name.size() <= 255 &&
                std::none_of(name.begin(), name.end(),
                             [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
  // Invalid UTF-8 would come back changed from here.
  std::string literal;
  AppendJsonString(name, literal);
  usable = usable && (literal.find("\xEF\xBF\xBD") == std::string::npos ||
                      name.find("\xEF\xBF\xBD") != std::string::npos);
  if (!usable) warnings.push_back({path, "has a name that no field can have: left out"});
  return usable;
}

}  // namespace zn::formats
