// Which server the experiment is made with: the one that --redis names, or one of our own.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "common/harness/lab.hpp"
#include "private_server.hpp"

namespace lab::redis {

/// What --redis says: "HOST:PORT" or "PATH"; empty: a server of our own.
inline std::string named;

/// Of "unix" and "tcp" those by which the server can be reached: of somebody else's we know one. Throws BadOption for what
/// is no address.
inline std::vector<std::string> ways() {
  if (named.empty()) return {"unix", "tcp"};
  try {
    return {parse_address(named).path.empty() ? "tcp" : "unix"};
  } catch (const std::invalid_argument& error) {
    throw BadOption(fmt::format("--redis {}", error.what()));
  }
}

struct Service {
  std::optional<PrivateServer> own;
  Address by_unix, by_tcp;
  std::string version;
};

/// The server, started or first spoken to when this is first called, in the process that will fork the workers. Throws
/// MissingPrerequisite where there is no usable one to be started, BadOption for one of --redis that cannot be used.
inline const Service& service() {
  static const Service one = [] {
    Service made;
    if (named.empty()) {
      if (!find_server()) throw MissingPrerequisite("there is no Redis server on PATH (apt-get install redis-tools)");
      try {
        made.own.emplace();
        Connection connection(made.own->by_tcp());
        made.version = check_version(connection);
      } catch (const Error& error) {
        throw MissingPrerequisite(error.what());
      }
      made.by_unix = made.own->by_socket(), made.by_tcp = made.own->by_tcp();
      return made;
    }
    const char* password = std::getenv("REDISCLI_AUTH");  // where redis-cli looks for it, too
    Address& address = ways().front() == "unix" ? made.by_unix : made.by_tcp;
    address = parse_address(named);
    address.password = password ? password : "";
    try {
      Connection connection(address);
      made.version = check_version(connection);
    } catch (const Error& error) {
      throw BadOption(
          fmt::format("--redis: {}{}", error.what(), password ? "" : " (a password is taken from REDISCLI_AUTH)"));
    }
    return made;
  }();
  return one;
}

/// Where it is reached by that way. As service().
inline const Address& address(const std::string& way) { return way == "unix" ? service().by_unix : service().by_tcp; }

}  // namespace lab::redis
