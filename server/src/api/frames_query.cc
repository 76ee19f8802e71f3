#include "api/frames_query.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "http/request.h"
#include "zn/formats/fields.h"

namespace zn::server {
namespace {

struct FormatRow {
  Format format;
  std::string_view name, media_type;
};
constexpr FormatRow kFormats[] = {
    {Format::kMsgpack, "msgpack", "application/msgpack"},
    {Format::kColumns, "columns", "application/vnd.zn.columns+msgpack"},
    {Format::kNpy, "npy", "application/x-npy"},
    {Format::kNpz, "npz", "application/x-npz"},
    {Format::kJson, "json", "application/json"},
    {Format::kExtxyz, "extxyz", "chemical/x-extxyz"},
};

Answer<bool> ParseBool(std::string_view name, const std::optional<std::string>& value,
                       bool fallback) {
  if (!value) return fallback;
  if (*value == "true" || *value == "1" || value->empty()) return true;
  if (*value == "false" || *value == "0") return false;
  return BadRequest(std::string(name) + ": '" + *value + "' is neither true nor false");
}

// `data` is split at commas before it is decoded, so that %2C can stand in a name. Clients that
// encode the commas between names as well mean a list, too: see ResolveFields.
Answer<std::vector<std::string>> SplitNames(std::string_view raw) {
  std::vector<std::string> names;
  if (raw.empty()) return names;
  for (;;) {
    size_t comma = raw.find(',');
    auto name = PercentDecode(raw.substr(0, comma), true);
    if (!name) return BadRequest("data: malformed percent-encoding");
    names.push_back(std::move(*name));
    if (comma == std::string_view::npos) return names;
    raw.remove_prefix(comma + 1);
  }
}

std::string Describe(const FramesQuery& query, int64_t unless_version) {
  std::string text(FormatName(query.format));
  if (query.keys == msgpack::KeyKind::kStr) text += "|str";
  if (!query.pad) text += "|joined";
  for (const FieldRequest& field : query.fields) {
    text += '|' + field.name;
    if (field.symbols) text += ":symbol";
    if (field.index >= 0)
      text += NumpyName(query.snapshot.fields()[static_cast<size_t>(field.index)].dtype);
  }
  if (!query.atoms.all())
    text += "|atoms=" + std::to_string(query.atoms.begin) + ":" + std::to_string(query.atoms.end) +
            ":" + std::to_string(query.atoms.step);
  if (query.unless)
    text += "|unless=" + std::to_string(*query.unless) + "." + std::to_string(unless_version);
  if (query.single) {
    // Columns say where the frame stands today, which no version does.
    if (query.format == Format::kColumns) text += "|at=" + std::to_string(query.selection.at(0));
  } else {
    for (const Run& run : query.selection.runs())
      text += '|' + std::to_string(run.begin) + ',' + std::to_string(run.count) + ',' +
              std::to_string(run.step);
  }
  return text;
}

}  // namespace

std::string_view FormatName(Format format) {
  for (const FormatRow& row : kFormats)
    if (row.format == format) return row.name;
  return "";
}

std::string_view MediaType(Format format) {
  for (const FormatRow& row : kFormats)
    if (row.format == format) return row.media_type;
  return "";
}

Answer<std::optional<std::string>> TakeParameter(const std::vector<Parameter>& parameters,
                                                 std::string_view name) {
  std::optional<std::string> value;
  for (const Parameter& parameter : parameters) {
    if (parameter.name != name) continue;
    if (value) return BadRequest("the parameter '" + std::string(name) + "' is given twice");
    value = PercentDecode(parameter.raw, true);
    if (!value) return BadRequest(std::string(name) + ": malformed percent-encoding");
  }
  return value;
}

Answer<bool> RefuseUnknown(const std::vector<Parameter>& parameters,
                           const std::vector<std::string>& known) {
  for (const Parameter& parameter : parameters) {
    if (std::find(known.begin(), known.end(), parameter.name) != known.end()) continue;
    std::vector<std::string> near = formats::NearMisses(parameter.name, known);
    std::string detail = "unknown parameter '" + parameter.name + "'";
    if (!near.empty()) detail += "; did you mean '" + near.front() + "'?";
    return BadRequest(detail).With("candidates", near.empty() ? known : near);
  }
  return true;
}

Answer<Format> NegotiateFormat(std::string_view accept) {
  if (accept.empty()) return Format::kMsgpack;
  double best = 0;
  std::optional<Format> chosen;
  std::string_view list = accept;
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    size_t semicolon = item.find(';');
    std::string_view type = Trim(item.substr(0, semicolon));
    double q = 1;
    for (std::string_view rest = semicolon == std::string_view::npos ? std::string_view()
                                                                     : item.substr(semicolon + 1);
         !rest.empty();) {
      size_t next = rest.find(';');
      std::string_view part = Trim(rest.substr(0, next));
      if (part.substr(0, 2) == "q=") q = std::strtod(std::string(part.substr(2)).c_str(), nullptr);
      rest = next == std::string_view::npos ? std::string_view() : rest.substr(next + 1);
    }
    std::optional<Format> format;
    if (type == "*/*" || type == "application/*" || type == "application/x-msgpack") {
      format = Format::kMsgpack;
    } else {
      for (const FormatRow& row : kFormats)
        if (EqualsIgnoreCase(type, row.media_type)) format = row.format;
      if (type == "application/zip") format = Format::kNpz;
      if (type == "chemical/x-xyz" || type == "chemical/*") format = Format::kExtxyz;
    }
    if (format && q > best) {
      best = q;
      chosen = format;
    }
  }
  if (chosen) return *chosen;
  std::vector<std::string> types;
  for (const FormatRow& row : kFormats) types.emplace_back(row.media_type);
  return Problem(406, "not-acceptable",
                 "frames come in none of the media types of Accept; `format` names ours, too")
      .With("candidates", types);
}

Answer<Snapshot> SnapshotAt(const Room& room, std::string_view at, std::string_view name) {
  if (at.empty()) {
    auto head = room.HeadOrError();
    if (!head) return head.error();
    return std::move(*head);
  }
  auto commit = CommitId::Parse(at);
  if (!commit) return BadRequest(std::string(name) + ": " + commit.error().message);
  auto snapshot = room.At(*commit);
  if (!snapshot) return snapshot.error();
  return std::move(*snapshot);
}

Answer<int64_t> FramePosition(const Snapshot& snapshot, std::string_view frame) {
  if (frame.substr(0, 3) != "id:") return ParseIndex(frame, snapshot.frames());
  std::string_view digits = frame.substr(3);
  int64_t id = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (error != std::errc() || end != digits.data() + digits.size() || id < 0 || id > kMaxFrameId)
    return BadRequest("'" + std::string(frame) + "' is not a frame id (as id:42)");
  auto position = snapshot.PositionOf(id);
  if (!position) {
    if (position.error().code == ErrorCode::kNotFound)
      return NotFound("there is no frame with id " + std::string(digits));
    return position.error();
  }
  return *position;
}

Answer<std::vector<FieldRequest>> ResolveFields(const Snapshot& snapshot,
                                                const std::vector<std::string>& names) {
  const std::vector<FieldDescriptor>& known = snapshot.fields();
  std::vector<FieldRequest> fields;
  auto add = [&fields](FieldRequest field) -> Answer<bool> {
    for (const FieldRequest& other : fields) {
      if (other.name != field.name) continue;
      if (other.symbols == field.symbols) return true;
      return BadRequest("data: '" + field.name + "' is asked for as numbers and as symbols");
    }
    fields.push_back(std::move(field));
    return true;
  };
  auto resolve = [&](const std::string& name) -> Answer<FieldRequest> {
    auto resolved = formats::ResolveName(name, known);
    if (!resolved) {
      if (name == "n_atoms") return FieldRequest{-1, name, false};
      Problem problem(resolved.error());
      if (problem.status != 404) return problem;
      return std::move(problem).With("candidates", formats::NearFields(name, known));
    }
    auto index = snapshot.FindField(resolved->field);
    if (!index)
      return NotFound("the room has no field '" + resolved->field + "'")
          .With("candidates", formats::NearFields(resolved->field, known));
    return FieldRequest{*index, resolved->field, resolved->as_symbols};
  };
  for (const std::string& name : names) {
    Answer<FieldRequest> field = resolve(name);
    if (field) {
      ZN_RETURN_IF_ERROR(add(std::move(*field)));
      continue;
    }
    if (field.error().status != 404 || name.find(',') == std::string::npos)
      return std::move(field).error();
    for (size_t from = 0; from <= name.size();) {
      size_t comma = std::min(name.find(',', from), name.size());
      ZN_ASSIGN_OR_RETURN(FieldRequest part, resolve(name.substr(from, comma - from)));
      ZN_RETURN_IF_ERROR(add(std::move(part)));
      from = comma + 1;
    }
  }
  return fields;
}

Answer<FramesQuery> ParseFramesQuery(const Service& service, std::shared_ptr<Room> room,
                                     const FramesOptions& options,
                                     std::optional<std::string_view> frame,
                                     std::string_view accept) {
  const std::vector<Parameter>& given = options.parameters;
  std::vector<std::string> known = {"data", "keys", "format",     "atoms",
                                    "at",   "pad",  "array_keys", "unless"};
  if (frame) {
    known.insert(known.end(), {"version", "hash"});
  } else {
    known.push_back("indices");
  }
  ZN_RETURN_IF_ERROR(RefuseUnknown(given, known));

  FramesQuery query;
  query.room = std::move(room);
  query.max_reply = service.options.max_reply;
  query.single = frame.has_value();
  ZN_ASSIGN_OR_RETURN(auto at, TakeParameter(given, "at"));
  ZN_ASSIGN_OR_RETURN(query.snapshot, SnapshotAt(*query.room, at.value_or("")));
  const Snapshot& snapshot = query.snapshot;

  ZN_ASSIGN_OR_RETURN(auto format, TakeParameter(given, "format"));
  if (format) {
    const FormatRow* row = std::find_if(std::begin(kFormats), std::end(kFormats),
                                        [&](const FormatRow& r) { return r.name == *format; });
    if (row == std::end(kFormats)) {
      std::vector<std::string> names;
      for (const FormatRow& r : kFormats) names.emplace_back(r.name);
      return BadRequest("format: '" + *format +
                        "' is not one of msgpack, columns, npy, npz, json, extxyz")
          .With("candidates", names);
    }
    query.format = row->format;
  } else {
    ZN_ASSIGN_OR_RETURN(query.format, NegotiateFormat(accept));
  }

  ZN_ASSIGN_OR_RETURN(auto keys, TakeParameter(given, "array_keys"));
  if (keys && *keys != "bin" && *keys != "str")
    return BadRequest("array_keys: '" + *keys + "' is neither bin nor str");
  if (keys && *keys == "str") query.keys = msgpack::KeyKind::kStr;

  ZN_ASSIGN_OR_RETURN(auto pad, TakeParameter(given, "pad"));
  ZN_ASSIGN_OR_RETURN(query.pad, ParseBool("pad", pad, true));
  ZN_ASSIGN_OR_RETURN(auto hash, TakeParameter(given, "hash"));
  ZN_ASSIGN_OR_RETURN(query.hash, ParseBool("hash", hash, false));

  ZN_ASSIGN_OR_RETURN(auto atoms, TakeParameter(given, "atoms"));
  if (atoms) {
    ZN_ASSIGN_OR_RETURN(query.atoms, ParseAtoms(*atoms));
  }

  if (frame) {
    ZN_ASSIGN_OR_RETURN(int64_t position, FramePosition(snapshot, *frame));
    query.selection.Add({position, 1, 1});
    ZN_ASSIGN_OR_RETURN(query.id, snapshot.IdAt(position));
    ZN_ASSIGN_OR_RETURN(query.version, snapshot.VersionOf(query.id));
    ZN_ASSIGN_OR_RETURN(auto version, TakeParameter(given, "version"));
    if (version) {
      uint32_t number = 0;
      auto [end, error] =
          std::from_chars(version->data(), version->data() + version->size(), number);
      if (error != std::errc() || end != version->data() + version->size() || number == 0)
        return BadRequest("version: '" + *version + "' is not a version (1, 2, ...)");
      if (number > query.version)
        return NotFound("the newest version of frame " + std::string(*frame) + " is " +
                        std::to_string(query.version));
      query.old_version = number != query.version;
      query.version = number;
    }
  } else {
    ZN_ASSIGN_OR_RETURN(auto indices, TakeParameter(given, "indices"));
    if (options.index_list) {
      ZN_ASSIGN_OR_RETURN(query.selection, SelectIndices(*options.index_list, snapshot.frames()));
    } else if (indices) {
      ZN_ASSIGN_OR_RETURN(query.selection, ParseSelection(*indices, snapshot.frames()));
    } else {
      query.selection = Selection::All(snapshot.frames());
    }
  }

  const Parameter* data = nullptr;
  for (const Parameter& parameter : given) {
    if (parameter.name != "data" && parameter.name != "keys") continue;
    if (data) return BadRequest("data (or its alias keys) is given twice");
    data = &parameter;
  }
  if (data || options.data_list) {
    std::vector<std::string> names;
    if (options.data_list) {
      names = *options.data_list;
    } else {
      ZN_ASSIGN_OR_RETURN(names, SplitNames(data->raw));
    }
    ZN_ASSIGN_OR_RETURN(query.fields, ResolveFields(snapshot, names));
  } else {
    query.every_field = true;
    for (size_t i = 0; i < snapshot.fields().size(); ++i)
      query.fields.push_back({static_cast<FieldIndex>(i), snapshot.fields()[i].name, false});
  }
  if (query.format == Format::kNpy && query.fields.size() != 1)
    return BadRequest("npy holds one field: name it in data=, or ask for npz or columns");

  int64_t unless_version = 0;
  ZN_ASSIGN_OR_RETURN(auto unless, TakeParameter(given, "unless"));
  if (unless) {
    ZN_ASSIGN_OR_RETURN(int64_t position, FramePosition(snapshot, *unless));
    ZN_ASSIGN_OR_RETURN(FrameId id, snapshot.IdAt(position));
    ZN_ASSIGN_OR_RETURN(uint32_t version, snapshot.VersionOf(id));
    query.unless = id;
    unless_version = version;
  }
  query.description = Describe(query, unless_version);
  return query;
}

}  // namespace zn::server
