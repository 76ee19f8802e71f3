#include "api/import.h"

#include <charconv>

#include "api/audit_changes.h"
#include "api/body_json.h"
#include "api/jobs.h"
#include "api/multipart.h"
#include "api/paging.h"
#include "api/write_request.h"
#include "zn/engine/codec.h"

namespace zn::server {
namespace {

// Parameters that zn-import knows under the same names, and takes as they are.
constexpr const char* kChildOptions[] = {"group", "dtype", "start", "stop", "step", "format"};
constexpr const char* kChildFlags[] = {"unwrap", "force"};

// "64" or "64x128", as --chunk.
Answer<bool> ParseChunk(const std::string& text, LayoutOptions* layout) {
  const size_t x = text.find('x');
  const auto number = [](std::string_view part, int64_t* value) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), *value);
    return error == std::errc() && end == part.data() + part.size() && *value > 0 && part.size() <= 12;
  };
  const std::string_view all = text;
  if (!number(all.substr(0, x), &layout->frames_per_chunk) ||
      (x != text.npos && !number(all.substr(x + 1), &layout->atoms_per_chunk)))
    return BadRequest("chunk: write FRAMES or FRAMESxATOMS, e.g. 64 or 64x128");
  return true;
}

// The uploaded file: the body itself, or the part `file` of a multipart one.
Answer<std::shared_ptr<TempFile>> UploadedFile(const Call& call) {
  const Buffer body = BodyOf(call);
  std::string_view bytes(reinterpret_cast<const char*>(body.data()), body.size());
  const auto boundary = MultipartBoundary(call.request().content_type);
  if (boundary) {
    ZN_ASSIGN_OR_RETURN(bytes, FindPart(bytes, *boundary, "file"));
  } else if (call.owned.spool) {
    return call.owned.spool;
  }
  if (bytes.empty()) return BadRequest("the body is empty: send the file, as it is or as multipart part `file`");
  ZN_ASSIGN_OR_RETURN(auto file, TempFile::Create(call.service.options.upload_folder));
  ZN_RETURN_IF_ERROR(file->Append(bytes));
  return file;
}

Reply JobReply(const Job& job, int status) {
  Reply reply = Reply::Json(JobJson(job), status);
  reply.headers = "Location: /api/jobs/" + job.id + "\r\n";
  return reply;
}

}  // namespace

Answer<Reply> PostImport(const Call& call) {
  const ApiOptions& options = call.service.options;
  if (options.import_program.empty() || !call.service.jobs)
    return Problem(501, "not-supported", "this server was started without the program zn-import, which reads files");
  ZN_RETURN_IF_ERROR(ValidateRoomName(call.room));
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  std::vector<std::string> known = {"base", "map", "codec", "chunk", "message", "lock_token", "force", "token"};
  for (const char* name : kChildOptions) known.emplace_back(name);
  for (const char* name : kChildFlags) known.emplace_back(name);
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, known));

  ImportRequest request;
  request.room = call.room;
  for (const char* name : kChildOptions) {
    ZN_ASSIGN_OR_RETURN(const auto value, TakeParameter(parameters, name));
    if (value) request.child.arguments.push_back("--" + std::string(name) + "=" + *value);
  }
  for (const char* name : kChildFlags) {
    ZN_ASSIGN_OR_RETURN(const bool set, BoolParameter(parameters, name));
    if (set) request.child.arguments.push_back("--" + std::string(name));
  }
  for (const Parameter& parameter : parameters) {  // repeatable, as there
    if (parameter.name != "map") continue;
    const auto value = PercentDecode(parameter.raw, true);
    if (!value || value->find('=') == value->npos) return BadRequest("map: write SOURCE=FIELD, e.g. dft_energy=calc.energy");
    request.child.arguments.push_back("--map=" + *value);
  }
  ZN_ASSIGN_OR_RETURN(const auto base, TakeParameter(parameters, "base"));
  request.base = base.value_or("");
  ZN_ASSIGN_OR_RETURN(const auto codec, TakeParameter(parameters, "codec"));
  if (codec) {
    if (auto codecs = ParseCodecs(*codec, DType::kFloat64); !codecs) return BadRequest("codec: " + codecs.error().message);
    request.layout.codecs = *codec;
  }
  ZN_ASSIGN_OR_RETURN(const auto chunk, TakeParameter(parameters, "chunk"));
  if (chunk) ZN_RETURN_IF_ERROR(ParseChunk(*chunk, &request.layout));
  ZN_ASSIGN_OR_RETURN(const auto message, TakeParameter(parameters, "message"));
  request.context.message = message.value_or("import of an upload").substr(0, 4096);

  request.context.actor = call.caller.name.substr(0, 255);
  if (auto room = call.service.store->OpenRoom(call.room)) {
    if ((*room)->info().model.locked) return Problem(403, "room-locked", "room '" + call.room + "' is locked");
    if (base) return Problem(409, "already-exists", "base: the room exists already, and only a new one has a base");
  } else if (base) {
    ZN_RETURN_IF_ERROR(call.service.FindRoom(base->substr(0, base->find('@')), &call.caller));
  }
  const AuditSource source = SourceOf(call);
  request.context.also = [source](RecordTransaction& records, const CommitInfo& draft) {
    return AuditFrames(records, source, "import", draft);
  };
  if (auto room = call.service.store->OpenRoom(call.room)) {
    ZN_ASSIGN_OR_RETURN(const std::string token, LockToken(call, parameters));
    ZN_ASSIGN_OR_RETURN(const bool force, Force(call, parameters));
    // Checked again when the frames are there: the lock may be another's by then.
    const RoomKey key{(*room)->info().incarnation, call.room};
    std::shared_ptr<WriteGuard> guard;
    ZN_ASSIGN_OR_RETURN(guard, call.service.control->Guard(key, {.meta = true}, token, force));
    request.context.also = [guard, source](RecordTransaction& records, const CommitInfo& draft) -> Result<> {
      ZN_RETURN_IF_ERROR(guard->Commit(records, draft));
      return AuditFrames(records, source, "import", draft);
    };
  }
  ZN_ASSIGN_OR_RETURN(request.file, UploadedFile(call));
  request.child.program = options.import_program;
  request.child.file = request.file->descriptor();
  request.child.memory_bytes = options.import_memory;
  request.child.cpu_seconds = options.import_seconds;
  // What is compressed may grow a hundredfold; more is no trajectory.
  request.child.max_bytes = static_cast<int64_t>(std::min<uint64_t>(options.max_upload, uint64_t{1} << 40)) * 100;
  ZN_ASSIGN_OR_RETURN(const Job job, call.service.jobs->Start(std::move(request)));
  return JobReply(job, 202);
}

Answer<Reply> ListJobs(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"limit", "after"}));
  ZN_ASSIGN_OR_RETURN(const Page page, ParsePage(parameters));
  std::string list = "[", next, last;
  size_t listed = 0;
  if (call.service.jobs) {
    for (const Job& job : call.service.jobs->List()) {  // newest first
      if (!page.after.empty() && job.id >= page.after) continue;
      if (!call.caller.May(Scope::kRead, job.room)) continue;
      if (listed == page.limit) {
        next = NextLink(call.request(), parameters, last);
        break;
      }
      list += (listed++ ? "," : "") + JobJson(job);
      last = job.id;
    }
  }
  Reply reply = Reply::Json(list + "]");
  reply.headers = next;
  return reply;
}

Answer<Reply> GetJob(const Call& call) {
  const auto job = call.service.jobs ? call.service.jobs->Find(call.Argument("job")) : std::nullopt;
  if (!job || !call.caller.May(Scope::kRead, job->room)) return NotFound("there is no job '" + call.Argument("job") + "'");
  return Reply::Json(JobJson(*job));
}

Answer<Reply> DeleteJob(const Call& call) {
  const auto job = call.service.jobs ? call.service.jobs->Find(call.Argument("job")) : std::nullopt;
  if (!job || !call.caller.May(Scope::kRead, job->room)) return NotFound("there is no job '" + call.Argument("job") + "'");
  if (!call.caller.May(Scope::kWrite, job->room))
    return Problem(403, "forbidden", "this needs the scope 'write' in room " + job->room);
  if (!call.service.jobs->Cancel(job->id)) return Problem(409, "conflict", "the job is over already");
  return JobReply(call.service.jobs->Find(call.Argument("job")).value_or(*job), 202);
}

}  // namespace zn::server
