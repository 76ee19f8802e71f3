#include "api/system.h"

#include <nlohmann/json.hpp>

#include "socketio/servers.h"

#ifndef ZN_VERSION
#define ZN_VERSION "unknown"
#endif

namespace zn::server {
namespace {

void PutMetric(std::string& out, std::string_view name, std::string_view type,
               std::string_view help, int64_t value) {
  out += "# HELP ";
  out += name;
  out += ' ';
  out += help;
  out += "\n# TYPE ";
  out += name;
  out += ' ';
  out += type;
  out += '\n';
  out += name;
  out += ' ' + std::to_string(value) + '\n';
}

}  // namespace

Answer<Reply> GetHealth(const Call&) { return Reply::Json("{\"status\":\"ok\"}"); }

Answer<Reply> GetReady(const Call& call) {
  if (call.service.stopping) return Problem(503, "stopping", "the server is stopping");
  std::vector<RoomInfo> rooms = call.service.store->ListRooms();
  for (const RoomInfo& info : rooms) {
    if (info.frames == 0) continue;
    auto read = [&]() -> Result<> {
      ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.service.store->OpenRoom(info.name));
      ZN_ASSIGN_OR_RETURN(Snapshot snapshot, room->HeadOrError());
      if (snapshot.frames() == 0) return {};
      ZN_ASSIGN_OR_RETURN(FrameId id, snapshot.IdAt(0));
      ZN_ASSIGN_OR_RETURN(int32_t atoms, snapshot.AtomCount(id));
      (void)atoms;
      return {};
    };
    if (auto result = read(); !result && result.error().code != ErrorCode::kNotFound)
      return Problem(503, "not-ready", "room " + info.name + ": " + result.error().message);
    break;
  }
  nlohmann::json body = {{"status", "ready"}, {"rooms", rooms.size()}};
  return Reply::Json(body.dump());
}

Answer<Reply> GetVersion(const Call& call) {
  nlohmann::json body = {{"name", "ZnStore"},
                         {"version", ZN_VERSION},
                         {"store", call.service.store->uuid()},
                         {"epoch", call.service.store->epoch()},
                         {"readOnly", call.service.options.read_only}};
  return Reply::Json(body.dump());
}

Answer<Reply> GetMetrics(const Call& call) {
  const Store::Stats store = call.service.store->stats();
  const HttpStats http = call.service.http_stats ? call.service.http_stats() : HttpStats{};
  auto n = [](uint64_t value) { return static_cast<int64_t>(value); };
  std::string out;
  PutMetric(out, "zn_http_requests_total", "counter", "Requests whose head was read.",
            n(http.requests));
  PutMetric(out, "zn_http_inline_replies_total", "counter",
            "Replies made on an I/O thread, without the pool.", n(http.inline_replies));
  out +=
      "# HELP zn_http_replies_total Replies by class of status.\n# TYPE zn_http_replies_total "
      "counter\n";
  for (size_t i = 2; i < 6; ++i)
    out += "zn_http_replies_total{class=\"" + std::to_string(i) + "xx\"} " +
           std::to_string(http.status_class[i]) + "\n";
  PutMetric(out, "zn_http_sent_bytes_total", "counter", "Bytes written to sockets.",
            n(http.bytes_sent));
  PutMetric(out, "zn_http_connections", "gauge", "Open connections.", n(http.connections));
  PutMetric(out, "zn_http_accepted_total", "counter", "Connections accepted.", n(http.accepted));
  PutMetric(out, "zn_http_refused_total", "counter", "Connections refused at the limit.",
            n(http.refused));
  PutMetric(out, "zn_http_reused_total", "counter",
            "Connections at the limit that took the place of one whose client let it wait.",
            n(http.reused));
  PutMetric(out, "zn_http_timeouts_total", "counter", "Connections closed for being slow or idle.",
            n(http.timeouts));
  PutMetric(out, "zn_tls_failures_total", "counter", "TLS handshakes that failed.", n(http.tls_failures));
  const EventHub::Stats events = call.service.events->stats();
  PutMetric(out, "zn_events_published_total", "counter", "Events published.", n(events.published));
  PutMetric(out, "zn_events_delivered_total", "counter", "Events handed to followers.",
            n(events.delivered));
  PutMetric(out, "zn_events_resyncs_total", "counter", "Followers that could not resume.",
            n(events.resyncs));
  PutMetric(out, "zn_events_followers", "gauge", "Followers, one for each client and topic.",
            n(events.followers));
  PutMetric(out, "zn_events_kept_bytes", "gauge", "Bytes of events kept for followers.",
            n(events.kept_bytes));
  const auto& sockets = call.service.sockets;
  PutMetric(out, "zn_events_dropped_total", "counter", "Followers dropped for not reading.",
            n(events.dropped + (sockets ? sockets->dropped() : 0)));
  PutMetric(out, "zn_socketio_sessions", "gauge", "Engine.IO sessions.",
            n(sockets ? sockets->sessions() : 0));
  PutMetric(out, "zn_store_rooms", "gauge", "Rooms.", store.rooms);
  PutMetric(out, "zn_store_commits_total", "counter", "Commits of this process.", store.commits);
  PutMetric(out, "zn_store_groups_total", "counter", "Groups of commits written.", store.groups);
  PutMetric(out, "zn_store_log_files", "gauge", "Log files.", store.log_files);
  PutMetric(out, "zn_store_packs", "gauge", "Packs.", store.packs);
  PutMetric(out, "zn_store_log_written_bytes_total", "counter", "Bytes written to the log.",
            store.log_bytes_written);
  PutMetric(out, "zn_store_pack_written_bytes_total", "counter", "Bytes written to packs.",
            store.pack_bytes_written);
  PutMetric(out, "zn_collections_total", "counter", "Collections that ended.", store.collections);
  PutMetric(out, "zn_collections_failed_total", "counter", "Collections that could not go on.",
            store.collections_failed);
  PutMetric(out, "zn_collecting", "gauge", "1 while a collection is under way.", store.collecting);
  PutMetric(out, "zn_collected_bytes_total", "counter", "Bytes given back to the disk.",
            store.collected_bytes);
  PutMetric(out, "zn_collection_copied_bytes_total", "counter",
            "Bytes of living records that collections copied.", store.copied_bytes);
  PutMetric(out, "zn_collection_waiting_bytes", "gauge",
            "Bytes to be given back once readers in other processes let go of them.",
            store.waiting_bytes);
  PutMetric(out, "zn_commits_pruned_total", "counter", "Commits that retention let go.",
            store.commits_pruned);
  PutMetric(out, "zn_disk_free_bytes", "gauge", "Bytes of the disk left to writes, above the reserve.",
            store.disk_free_bytes);
  PutMetric(out, "zn_cache_bytes", "gauge", "Bytes of decoded chunks kept.", store.cache_bytes);
  PutMetric(out, "zn_cache_files", "gauge", "Decoded chunks kept.", store.cache_files);
  PutMetric(out, "zn_cache_hits_total", "counter", "Chunks found decoded.", store.cache_hits);
  PutMetric(out, "zn_cache_misses_total", "counter", "Chunks that had to be decoded.",
            store.cache_misses);
  Reply reply = Reply::Json(std::move(out));
  reply.content_type = "text/plain; version=0.0.4";
  return reply;
}

}  // namespace zn::server
