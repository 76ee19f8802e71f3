// The Zarr view over HTTP: /zarr/{room}[@commit]/{key}, and the same as shards under
// /zarr-sharded/.
//
// Without a commit the newest one is served, to be validated by ETag; with one the reply never
// changes. A missing key is 404 and nothing else, since readers take that for a chunk of fill
// values.
#pragma once

#include "api/router.h"

namespace zn::server {

Answer<Reply> GetZarr(const Call& call);
Answer<Reply> GetZarrSharded(const Call& call);

/// On an I/O thread: metadata, and chunks whose bytes are there already. The status it answered
/// with, or 0 when it did nothing.
int TryZarrHotPath(Service& service, const Request& request, const InlineContext& context);

}  // namespace zn::server
