// H5MD files, element by element, as batches come.
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "h5md/h5_output.h"
#include "h5md/own_layout.h"
#include "zn/formats/fields.h"
#include "zn/formats/h5md_writer.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

using h5::Output;
using h5::RowWriter;
using h5::TextWriter;

constexpr char kParticles[] = "particles/all/";
constexpr char kObservables[] = "observables/all/";

// A unit as H5MD writes it: ASCII, factors apart. What is not in the table is kept.
std::string H5mdUnit(const std::string& unit) {
  static const std::pair<std::string_view, std::string_view> table[] = {
      {"Å", "Angstrom"},
      {"Å/fs", "Angstrom fs-1"},
      {"eV/Å", "eV Angstrom-1"},
      {"eV/Å³", "eV Angstrom-3"},
      {"e·Å", "e Angstrom"},
      {"√(eV·u)", ""},
      {"1", ""},
  };
  for (const auto& [ours, theirs] : table)
    if (unit == ours) return std::string(theirs);
  return unit;
}

std::string UnitOf(const FieldDescriptor& field) {
  const auto json = nlohmann::json::parse(field.attributes, nullptr, false);
  if (!json.is_object() || !json.contains("unit") || !json["unit"].is_string()) return "";
  return H5mdUnit(json["unit"].get<std::string>());
}

// Without "arrays." and the like; links have no slashes, and "." is none.
std::string LinkName(std::string name) {
  for (const std::string_view prefix : {"arrays.", "calc.", "info."}) {
    if (name.starts_with(prefix) && name.size() > prefix.size()) {
      name.erase(0, prefix.size());
      break;
    }
  }
  std::replace(name.begin(), name.end(), '/', '_');
  return name == "." || name == ".." ? "_" : name;
}

class Writer final : public H5mdWriter {
 public:
  Writer(const H5mdContent& content, const H5mdOptions& options)
      : content_(content), options_(options) {}

  Result<> Open(const std::string& path) {
    h5::Storage storage;
    storage.level = options_.level;
    storage.chunk_bytes = options_.chunk_bytes;
    storage.threads = options_.threads > 0 ? static_cast<size_t>(options_.threads)
                                           : std::max(1u, std::thread::hardware_concurrency());
    ZN_ASSIGN_OR_RETURN(output_, Output::Create(path, storage));
    ZN_RETURN_IF_ERROR(WriteHeads());
    ZN_RETURN_IF_ERROR(MakeAxis());
    ZN_ASSIGN_OR_RETURN(atom_counts_,
                        RowWriter::Create(output_.get(), Own("n_atoms"), DType::kInt32, Shape{}));
    if (!content_.constant_atoms && Index("arrays.id") < 0) ZN_RETURN_IF_ERROR(MakeIds());
    for (size_t f = 0; f < content_.fields.size(); ++f) {
      elements_.emplace_back();
      if (content_.present[f] > 0) ZN_RETURN_IF_ERROR(MakeElement(f));
    }
    return {};
  }

  Result<> Append(const FrameBatch& batch) override {
    const FrameRows rows(batch);
    const auto count = static_cast<int64_t>(batch.n_atoms.size());
    ZN_RETURN_IF_ERROR(atom_counts_->Append(std::as_bytes(std::span(batch.n_atoms)), count));
    ZN_RETURN_IF_ERROR(AppendAxis(rows));
    if (ids_) ZN_RETURN_IF_ERROR(AppendIds(batch));
    for (size_t f = 0; f < elements_.size(); ++f) {
      if (!elements_[f].made) continue;
      if (auto added = AppendElement(f, rows); !added)
        return std::move(added).error().Context(content_.fields[f].name);
    }
    frames_ += count;
    return {};
  }

  Result<> Finish() override {
    ZN_RETURN_IF_ERROR(atom_counts_->Finish());
    for (const auto& writer : {&step_, &time_, &ids_})
      if (*writer) ZN_RETURN_IF_ERROR((*writer)->Finish());
    for (Element& element : elements_) {
      for (const auto& writer :
           {&element.values, &element.frames, &element.lengths, &element.steps, &element.times})
        if (*writer) ZN_RETURN_IF_ERROR((*writer)->Finish());
    }
    ZN_RETURN_IF_ERROR(WriteBonds());
    return output_->Close();
  }

 private:
  struct Element {
    bool made = false;
    size_t index = 0;
    std::string group;                           // with value, step and time below; "" without
    std::unique_ptr<RowWriter> values;           // of numbers
    std::unique_ptr<TextWriter> texts;           // of kJson
    std::unique_ptr<RowWriter> frames, lengths;  // of the index
    std::unique_ptr<RowWriter> steps, times;     // its own, where some frames lack it
    std::vector<std::byte> padding;              // one element of fill
  };

  int Index(std::string_view name) const {
    for (size_t f = 0; f < content_.fields.size(); ++f)
      if (content_.fields[f].name == name && content_.present[f] > 0) return static_cast<int>(f);
    return -1;
  }
  bool InAllFrames(size_t f) const { return content_.present[f] == content_.frames; }
  static std::string Own(const std::string& name) { return std::string(own::kGroup) + "/" + name; }
  std::string OwnField(size_t f) const {
    std::string number = std::to_string(f);
    return Own("fields/" + std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number);
  }

  Result<> WriteHeads() {
    const int64_t version[] = {1, 1};
    ZN_ASSIGN_OR_RETURN(auto head, output_->Group("h5md"));
    ZN_RETURN_IF_ERROR(output_->SetIntegers(head, "version", version));
    ZN_ASSIGN_OR_RETURN(auto author, output_->Group("h5md/author"));
    ZN_RETURN_IF_ERROR(output_->SetText(author, "name", "unknown"));
    ZN_ASSIGN_OR_RETURN(auto creator, output_->Group("h5md/creator"));
    ZN_RETURN_IF_ERROR(output_->SetText(creator, "name", own::kCreator));
    ZN_RETURN_IF_ERROR(output_->SetText(creator, "version", options_.creator_version));
    ZN_ASSIGN_OR_RETURN(auto group, output_->Group("particles/all/box"));
    const int64_t dimension = 3;
    ZN_RETURN_IF_ERROR(output_->SetIntegers(group, "dimension", std::span(&dimension, 1), true));
    std::vector<std::string> boundary;
    for (const bool periodic : content_.periodic)
      boundary.push_back(periodic ? "periodic" : "none");
    ZN_RETURN_IF_ERROR(output_->SetTexts(group, "boundary", boundary));
    ZN_ASSIGN_OR_RETURN(auto own, output_->Group(own::kGroup));
    return output_->SetIntegers(own, "version", std::span(&own::kVersion, 1), true);
  }

  // One step and one time for all elements; every element has links to them.
  Result<> MakeAxis() {
    const bool own_steps = content_.grows_by_step;
    step_field_ = own_steps ? Index("step") : -1;
    const DType steps =
        step_field_ >= 0 ? content_.fields[static_cast<size_t>(step_field_)].dtype : DType::kInt64;
    ZN_ASSIGN_OR_RETURN(step_, RowWriter::Create(output_.get(), Own("step"), steps, Shape{}));
    if (const int time = Index("time"); time >= 0) {
      const FieldDescriptor& field = content_.fields[static_cast<size_t>(time)];
      const bool usable = field.kind == FieldKind::kFrame && field.inner.rank() == 0 &&
                          (field.dtype == DType::kFloat32 || field.dtype == DType::kFloat64);
      if (usable && InAllFrames(static_cast<size_t>(time))) time_field_ = time;
    }
    if (time_field_ < 0) {
      // Optional in H5MD, but MDAnalysis insists on it: the frames' numbers, without a unit.
      ZN_ASSIGN_OR_RETURN(time_,
                          RowWriter::Create(output_.get(), Own("time"), DType::kFloat64, Shape{}));
      return {};
    }
    const FieldDescriptor& field = content_.fields[static_cast<size_t>(time_field_)];
    ZN_ASSIGN_OR_RETURN(time_, RowWriter::Create(output_.get(), Own("time"), field.dtype, Shape{}));
    const std::string unit = UnitOf(field);
    return unit.empty() ? Result<>() : output_->SetText(time_->handle(), "unit", unit);
  }

  // H5MD's way to say that there are fewer atoms in a frame: ids that are the fill value.
  Result<> MakeIds() {
    const std::string group = std::string(kParticles) + "id";
    names_.insert(group);
    ZN_ASSIGN_OR_RETURN(ids_, RowWriter::Create(output_.get(), group + "/value", DType::kInt32,
                                                Shape{content_.max_atoms}, -1));
    return LinkAxis(group);
  }

  Result<> LinkAxis(const std::string& group) {
    ZN_RETURN_IF_ERROR(output_->Link(step_->path(), group + "/step"));
    return output_->Link(time_->path(), group + "/time");
  }

  // Where H5MD has the field; "" where it has no place for it.
  std::string GroupOf(const FieldDescriptor& field) {
    if (field.kind == FieldKind::kRagged) return "";
    const bool per_atom = field.kind == FieldKind::kAtom;
    const std::string below = per_atom ? kParticles : kObservables;
    const CanonicalField* canonical = FindCanonical(field.name);
    std::string name;
    if (field.name == "cell" && field.inner == Shape{3, 3}) {
      name = std::string(kParticles) + "box/edges";
    } else if (field.name == "pbc" && field.inner == Shape{3}) {
      name = std::string(kParticles) + "box/pbc";
    } else if (canonical != nullptr && canonical->kind == field.kind && !canonical->h5md.empty() &&
               field.name != "step" && field.name != "time" && field.name != "cell" &&
               field.name != "pbc") {
      name = below + std::string(canonical->h5md);
    } else {
      name = below + LinkName(field.name);
      static const std::set<std::string> reserved = {
          "position", "velocity", "force", "mass",   "charge", "species",          "image",
          "id",       "box",      "type",  "stress", "step",   "potential_energy", "time"};
      const bool taken = reserved.contains(LinkName(field.name)) &&
                         !(field.name == "arrays.image" || field.name == "arrays.id" ||
                           field.name == "arrays.type");
      if (taken || names_.contains(name)) {
        std::string full = field.name;
        std::replace(full.begin(), full.end(), '/', '_');
        name = below + full;
      }
    }
    while (!names_.insert(name).second) name += '_';
    return name;
  }

  Result<> MakeElement(size_t f) {
    const FieldDescriptor& field = content_.fields[f];
    Element& element = elements_[f];
    element.made = true;
    element.index = f;
    ZN_ASSIGN_OR_RETURN(auto entry, output_->Group(OwnField(f)));
    ZN_RETURN_IF_ERROR(output_->SetText(entry, "name", field.name));
    ZN_RETURN_IF_ERROR(output_->SetText(entry, "kind", FieldKindName(field.kind)));
    ZN_RETURN_IF_ERROR(output_->SetText(entry, "attributes", field.attributes));
    const auto index = static_cast<int>(f);
    if (index == step_field_ || index == time_field_) {
      // Its values are the axis itself.
      return output_->SetText(entry, "data", index == step_field_ ? step_->path() : time_->path());
    }
    element.group = GroupOf(field);
    const std::string data =
        element.group.empty() ? OwnField(f) + "/values" : element.group + "/value";
    ZN_RETURN_IF_ERROR(output_->SetText(entry, "data", data));
    if (field.dtype == DType::kJson) {
      ZN_ASSIGN_OR_RETURN(element.texts, TextWriter::Create(output_.get(), data));
    } else {
      const bool per_atom = field.kind == FieldKind::kAtom;
      const Shape row = per_atom ? field.inner.Behind(content_.max_atoms) : field.inner;
      ZN_ASSIGN_OR_RETURN(element.values, RowWriter::Create(output_.get(), data, field.dtype, row));
      element.padding.resize(ItemSize(field.dtype));
      WriteFillValue(field.dtype, element.padding.data());
      const std::string unit = UnitOf(field);
      if (!unit.empty())
        ZN_RETURN_IF_ERROR(output_->SetText(element.values->handle(), "unit", unit));
    }
    auto own_rows = [&](const std::string& path) {
      return RowWriter::Create(output_.get(), path, DType::kInt64, Shape{});
    };
    if (field.kind == FieldKind::kRagged) {
      ZN_ASSIGN_OR_RETURN(element.lengths, own_rows(OwnField(f) + "/lengths"));
    }
    if (!InAllFrames(f)) {
      ZN_ASSIGN_OR_RETURN(element.frames, own_rows(OwnField(f) + "/frames"));
    }
    if (element.group.empty()) return {};
    if (InAllFrames(f)) return LinkAxis(element.group);
    const auto type_of = [&](int index_of, DType counted) {
      return index_of >= 0 ? content_.fields[static_cast<size_t>(index_of)].dtype : counted;
    };
    ZN_ASSIGN_OR_RETURN(element.steps,
                        RowWriter::Create(output_.get(), element.group + "/step",
                                          type_of(step_field_, DType::kInt64), Shape{}));
    ZN_ASSIGN_OR_RETURN(element.times,
                        RowWriter::Create(output_.get(), element.group + "/time",
                                          type_of(time_field_, DType::kFloat64), Shape{}));
    return {};
  }

  std::span<const std::byte> StepOf(const FrameRows& rows, size_t frame) {
    if (step_field_ >= 0) return rows.Bytes(static_cast<size_t>(step_field_), frame);
    counted_ = frames_ + static_cast<int64_t>(frame);
    return std::as_bytes(std::span(&counted_, 1));
  }

  std::span<const std::byte> TimeOf(const FrameRows& rows, size_t frame) {
    if (time_field_ >= 0) return rows.Bytes(static_cast<size_t>(time_field_), frame);
    counted_time_ = static_cast<double>(frames_ + static_cast<int64_t>(frame));
    return std::as_bytes(std::span(&counted_time_, 1));
  }

  Result<> AppendAxis(const FrameRows& rows) {
    for (size_t frame = 0; frame < rows.batch().n_atoms.size(); ++frame) {
      ZN_RETURN_IF_ERROR(step_->Append(StepOf(rows, frame), 1));
      ZN_RETURN_IF_ERROR(time_->Append(TimeOf(rows, frame), 1));
    }
    return {};
  }

  Result<> AppendIds(const FrameBatch& batch) {
    std::vector<int32_t> ids(static_cast<size_t>(content_.max_atoms));
    for (const int32_t n : batch.n_atoms) {
      for (int32_t i = 0; i < content_.max_atoms; ++i)
        ids[static_cast<size_t>(i)] = i < n ? i + 1 : -1;
      ZN_RETURN_IF_ERROR(ids_->Append(std::as_bytes(std::span(ids)), 1));
    }
    return {};
  }

  Result<> AppendElement(size_t f, const FrameRows& rows) {
    Element& element = elements_[f];
    const FrameBatch& batch = rows.batch();
    const Column& column = batch.columns[f];
    const FieldDescriptor& field = content_.fields[f];
    for (size_t frame = 0; frame < batch.n_atoms.size() && (element.frames || element.steps);
         ++frame) {
      if (!rows.Has(f, frame)) continue;
      const int64_t number = frames_ + static_cast<int64_t>(frame);
      if (element.frames)
        ZN_RETURN_IF_ERROR(element.frames->Append(std::as_bytes(std::span(&number, 1)), 1));
      if (element.steps) ZN_RETURN_IF_ERROR(element.steps->Append(StepOf(rows, frame), 1));
      if (element.times) ZN_RETURN_IF_ERROR(element.times->Append(TimeOf(rows, frame), 1));
    }
    if (element.texts) return element.texts->Append(column.text);
    if (!element.values) return {};
    if (element.lengths) {
      int64_t joined = 0;
      for (const int64_t length : column.lengths) joined += length;
      ZN_RETURN_IF_ERROR(element.lengths->Append(std::as_bytes(std::span(column.lengths)),
                                                 static_cast<int64_t>(column.lengths.size())));
      if (field.name == "connectivity") NoteBonds(rows, f);
      return element.values->Append(column.data.bytes(), joined);
    }
    const bool padded = field.kind == FieldKind::kAtom && !content_.constant_atoms;
    if (!padded) {
      const auto present = static_cast<int64_t>(
          column.present.empty() ? batch.n_atoms.size()
                                 : std::count(column.present.begin(), column.present.end(), 1));
      return element.values->Append(column.data.bytes(), present);
    }
    const size_t atom_bytes = static_cast<size_t>(field.inner.Elements()) * ItemSize(field.dtype);
    std::vector<std::byte> row(atom_bytes * static_cast<size_t>(content_.max_atoms));
    for (size_t frame = 0; frame < batch.n_atoms.size(); ++frame) {
      if (!rows.Has(f, frame)) continue;
      const auto bytes = rows.Bytes(f, frame);
      if (bytes.size() > row.size())
        return Error{ErrorCode::kInternal, "more atoms than were announced"};
      std::copy(bytes.begin(), bytes.end(), row.begin());
      for (size_t at = bytes.size(); at < row.size(); at += element.padding.size())
        std::memcpy(row.data() + at, element.padding.data(), element.padding.size());
      ZN_RETURN_IF_ERROR(element.values->Append(row, 1));
    }
    return {};
  }

  // Bonds that are the same in every frame are also what H5MD calls connectivity.
  void NoteBonds(const FrameRows& rows, size_t f) {
    const FieldDescriptor& field = content_.fields[f];
    same_bonds_ =
        same_bonds_ && InAllFrames(f) && field.inner == Shape{2} && IsInteger(field.dtype);
    for (size_t frame = 0; same_bonds_ && frame < rows.batch().n_atoms.size(); ++frame) {
      const auto bytes = rows.Bytes(f, frame);
      if (!bonds_) {
        bonds_.emplace(bytes.begin(), bytes.end());
        bonds_type_ = field.dtype;
      }
      same_bonds_ = bonds_->size() == bytes.size() &&
                    std::equal(bonds_->begin(), bonds_->end(), bytes.begin());
    }
  }

  Result<> WriteBonds() {
    if (!bonds_ || !same_bonds_) return {};
    ZN_ASSIGN_OR_RETURN(auto writer, RowWriter::Create(output_.get(), "connectivity/all/bonds",
                                                       bonds_type_, Shape{2}));
    const auto rows = static_cast<int64_t>(bonds_->size() / (2 * ItemSize(bonds_type_)));
    ZN_RETURN_IF_ERROR(writer->Append(*bonds_, rows));
    return writer->Finish();
  }

  const H5mdContent content_;
  const H5mdOptions options_;
  std::unique_ptr<Output> output_;
  std::unique_ptr<RowWriter> atom_counts_, step_, time_, ids_;
  int step_field_ = -1, time_field_ = -1;
  std::vector<Element> elements_;  // by field
  std::set<std::string> names_;    // groups taken
  int64_t frames_ = 0, counted_ = 0;
  double counted_time_ = 0;
  std::optional<std::vector<std::byte>> bonds_;
  DType bonds_type_ = DType::kInt64;
  bool same_bonds_ = true;
};

}  // namespace

Result<std::unique_ptr<H5mdWriter>> H5mdWriter::Create(const std::string& path,
                                                       const H5mdContent& content,
                                                       const H5mdOptions& options) {
  auto writer = std::make_unique<Writer>(content, options);
  ZN_RETURN_IF_ERROR(writer->Open(path));
  return std::unique_ptr<H5mdWriter>(std::move(writer));
}

}  // namespace zn::formats
