#include "h5md/h5_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "h5md/h5_dataset.h"

namespace zn::formats::h5 {
namespace {

constexpr int kMaxLinkDepth = 16;
constexpr hssize_t kMaxAttributeElements = 4096;
constexpr size_t kMaxStringBytes = 1 << 20;

herr_t CollectName(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

std::string Join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "/" + name;
}

struct OpenAttribute {
  Handle id, type, space;
  hssize_t elements = 0;
};

std::optional<OpenAttribute> OpenNamed(const Object& object, const char* name) {
  if (H5Aexists(Id(object), name) <= 0) {
    LastMessage();
    return std::nullopt;
  }
  OpenAttribute attribute;
  attribute.id = Handle(H5Aopen(Id(object), name, H5P_DEFAULT), H5Aclose);
  if (!attribute.id) return std::nullopt;
  attribute.type = Handle(H5Aget_type(attribute.id.get()), H5Tclose);
  attribute.space = Handle(H5Aget_space(attribute.id.get()), H5Sclose);
  if (!attribute.type || !attribute.space) return std::nullopt;
  attribute.elements = H5Sget_simple_extent_npoints(attribute.space.get());
  if (attribute.elements < 1 || attribute.elements > kMaxAttributeElements) return std::nullopt;
  return attribute;
}

}  // namespace

Result<std::shared_ptr<const File>> File::Open(const std::string& path) {
  int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return MakeError(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, path, "",
                     std::string("cannot be opened: ") + std::strerror(errno));
  }
  std::shared_ptr<File> file(new File);
  file->path_ = path;
  file->descriptor_ = descriptor;
  struct stat status;
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    return file->Fail(ErrorCode::kUnsupported, "", "is not a regular file",
                      "HDF5 needs random access: save it to a file first");
  }
  file->size_ = status.st_size;

  Lock lock;
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // A lock could not be had on some network file systems, and says nothing about writers that do
  // not lock.
  H5Pset_file_locking(access.get(), false, true);
  file->handle_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!file->handle_) {
    return file->Fail(ErrorCode::kCorrupt, "", "cannot be read as HDF5",
                      "copy it again from its source, or check it with h5ls", true);
  }
  ZN_ASSIGN_OR_RETURN(
      file->root_,
      file->Describe(Handle(H5Gopen2(file->handle_.get(), "/", H5P_DEFAULT), H5Gclose), ""));
  return std::shared_ptr<const File>(std::move(file));
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<Object> File::Describe(Handle id, std::string path) const {
  if (!id) {
    return Fail(ErrorCode::kCorrupt, path, "cannot be opened", "check the file with h5ls -r", true);
  }
  H5O_info_t info;
  if (H5Oget_info2(id.get(), &info, H5O_INFO_BASIC) < 0) {
    return Fail(ErrorCode::kCorrupt, path, "has a damaged header",
                "copy the file again from its source", true);
  }
  return Object{std::make_shared<const Handle>(std::move(id)), std::move(path),
                info.type == H5O_TYPE_GROUP, info.addr};
}

Result<std::shared_ptr<formats::Dataset>> File::OpenDataset(const Object& object) const {
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<formats::Dataset> dataset,
                      Dataset::Open(std::static_pointer_cast<const File>(shared_from_this()), object));
  return dataset;
}

Result<std::vector<std::string>> File::Names(const Object& group) const {
  Lock lock;
  std::vector<std::string> names;
  if (H5Literate(Id(group), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, CollectName, &names) < 0) {
    return Fail(ErrorCode::kCorrupt, group.path, "its members cannot be listed",
                "copy the file again from its source", true);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::optional<Object>> File::Find(const Object& group, const std::string& name,
                                         int depth) const {
  if (!group.is_group || name.empty()) return std::optional<Object>();
  std::string path = Join(group.path, name);
  Lock lock;
  htri_t exists = H5Lexists(Id(group), name.c_str(), H5P_DEFAULT);
  if (exists < 0) {
    return Fail(ErrorCode::kCorrupt, path, "cannot be looked up",
                "copy the file again from its source", true);
  }
  if (exists == 0) return std::optional<Object>();
  H5L_info_t link;
  if (H5Lget_info(Id(group), name.c_str(), &link, H5P_DEFAULT) < 0) {
    return Fail(ErrorCode::kCorrupt, path, "has a damaged link",
                "copy the file again from its source", true);
  }
  switch (link.type) {
    case H5L_TYPE_HARD: {
      ZN_ASSIGN_OR_RETURN(
          Object object,
          Describe(Handle(H5Oopen(Id(group), name.c_str(), H5P_DEFAULT), H5Oclose),
                   std::move(path)));
      return std::optional<Object>(std::move(object));
    }
    case H5L_TYPE_SOFT: {
      // Followed by hand: libhdf5 would also follow an external link in the middle of the target.
      if (depth >= kMaxLinkDepth || link.u.val_size == 0 || link.u.val_size > 65536) {
        return Fail(ErrorCode::kUnsupported, path, "its soft links lead to too many others",
                    "repack the file with h5repack");
      }
      std::vector<char> target(link.u.val_size + 1);
      if (H5Lget_val(Id(group), name.c_str(), target.data(), link.u.val_size, H5P_DEFAULT) <
          0) {
        return Fail(ErrorCode::kCorrupt, path, "has a damaged link",
                    "copy the file again from its source", true);
      }
      std::string_view text(target.data());
      ZN_ASSIGN_OR_RETURN(auto object,
                          FindPath(text.starts_with('/') ? root_ : group, text, depth + 1));
      if (object) object->path = std::move(path);
      return object;
    }
    case H5L_TYPE_EXTERNAL:
      return Fail(ErrorCode::kUnsupported, path,
                  "is an external link, and other files are not opened",
                  "copy its target into the file with h5copy first");
    default:
      return Fail(ErrorCode::kUnsupported, path, "is a user-defined link",
                  "repack the file with h5repack");
  }
}

Result<std::optional<Object>> File::FindPath(const Object& from, std::string_view path,
                                             int depth) const {
  Object object = from;
  while (!path.empty()) {
    size_t slash = path.find('/');
    std::string name(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (name.empty() || name == ".") continue;
    ZN_ASSIGN_OR_RETURN(auto next, Find(object, name, depth));
    if (!next) return std::optional<Object>();
    object = std::move(*next);
  }
  return std::optional<Object>(std::move(object));
}

bool File::HasAttribute(const Object& object, const char* name) const {
  Lock lock;
  bool has = H5Aexists(Id(object), name) > 0;
  LastMessage();
  return has;
}

std::optional<std::vector<std::string>> File::Strings(const Object& object,
                                                      const char* name) const {
  Lock lock;
  auto attribute = OpenNamed(object, name);
  if (!attribute || H5Tget_class(attribute->type.get()) != H5T_STRING) return std::nullopt;
  std::vector<std::string> strings;
  size_t count = static_cast<size_t>(attribute->elements);
  if (H5Tis_variable_str(attribute->type.get()) > 0) {
    Handle memory(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(memory.get(), H5T_VARIABLE);
    H5Tset_cset(memory.get(), H5Tget_cset(attribute->type.get()));
    std::vector<char*> texts(count, nullptr);
    if (H5Aread(attribute->id.get(), memory.get(), texts.data()) < 0) {
      LastMessage();
      return std::nullopt;
    }
    for (char* text : texts) strings.emplace_back(text ? text : "");
    H5Dvlen_reclaim(memory.get(), attribute->space.get(), H5P_DEFAULT, texts.data());
    return strings;
  }
  size_t size = H5Tget_size(attribute->type.get());
  if (size == 0 || size > kMaxStringBytes / count) return std::nullopt;
  std::vector<char> bytes(size * count);
  if (H5Aread(attribute->id.get(), attribute->type.get(), bytes.data()) < 0) {
    LastMessage();
    return std::nullopt;
  }
  bool padded_with_spaces = H5Tget_strpad(attribute->type.get()) == H5T_STR_SPACEPAD;
  for (size_t i = 0; i < count; ++i) {
    std::string text(bytes.data() + i * size, strnlen(bytes.data() + i * size, size));
    while (padded_with_spaces && text.ends_with(' ')) text.pop_back();
    strings.push_back(std::move(text));
  }
  return strings;
}

std::optional<std::vector<double>> File::Numbers(const Object& object, const char* name) const {
  Lock lock;
  auto attribute = OpenNamed(object, name);
  if (!attribute) return std::nullopt;
  H5T_class_t kind = H5Tget_class(attribute->type.get());
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) return std::nullopt;
  std::vector<double> numbers(static_cast<size_t>(attribute->elements));
  if (H5Aread(attribute->id.get(), H5T_NATIVE_DOUBLE, numbers.data()) < 0) {
    LastMessage();
    return std::nullopt;
  }
  return numbers;
}

std::optional<int64_t> File::Integer(const Object& object, const char* name) const {
  Lock lock;
  auto attribute = OpenNamed(object, name);
  if (!attribute || attribute->elements != 1) return std::nullopt;
  H5T_class_t kind = H5Tget_class(attribute->type.get());
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) return std::nullopt;
  int64_t number = 0;
  if (H5Aread(attribute->id.get(), H5T_NATIVE_INT64, &number) < 0) {
    LastMessage();
    return std::nullopt;
  }
  return number;
}

std::optional<unsigned long long> File::Reference(const Object& object, const char* name) const {
  Lock lock;
  auto attribute = OpenNamed(object, name);
  if (!attribute || attribute->elements != 1 ||
      H5Tequal(attribute->type.get(), H5T_STD_REF_OBJ) <= 0) {
    return std::nullopt;
  }
  hobj_ref_t reference = 0;
  if (H5Aread(attribute->id.get(), H5T_STD_REF_OBJ, &reference) < 0) {
    LastMessage();
    return std::nullopt;
  }
  Handle target(H5Rdereference2(Id(object), H5P_DEFAULT, H5R_OBJECT, &reference), H5Oclose);
  H5O_info_t info;
  if (!target || H5Oget_info2(target.get(), &info, H5O_INFO_BASIC) < 0) {
    LastMessage();
    return std::nullopt;
  }
  return info.addr;
}

bool HasSignature(std::span<const std::byte> head) {
  constexpr char kSignature[] = "\x89HDF\r\n\x1a\n";
  for (size_t at = 0; at + 8 <= head.size(); at = at == 0 ? 512 : at * 2) {
    if (std::memcmp(head.data() + at, kSignature, 8) == 0) return true;
  }
  return false;
}

}  // namespace zn::formats::h5
