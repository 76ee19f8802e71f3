// The one place that includes Asio: g++ 12 needs <utility> in front of Boost 1.74's awaitable.hpp,
// and every file that sees Asio sees the same set of headers.
#pragma once

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

namespace zn::server {

namespace net = boost::asio;
using tcp = net::ip::tcp;
using SystemError = boost::system::error_code;

}  // namespace zn::server
