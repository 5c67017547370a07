// Both ends of a connection prove that they have the key, and neither sends it. After CPython's handshake, whose digests are
// of the other side's random bytes alone; here they are of both sides' and of who says it.
//
//    server ── #CHALLENGE# and 32 random bytes ──────────────────────────> client      or #REFUSED# and a sentence
//    client ── 32 random bytes; HMAC-SHA256(key, "client" + both) ───────> server
//    server ── #WELCOME# and HMAC-SHA256(key, "server" + both) ──────────> client      or #FAILURE# and a sentence
//
// A digest that is sent back to its maker is of the other role, and one of an earlier connection is of other random bytes:
// neither is worth anything.
#pragma once

#include <stdexcept>
#include <string>

#include "common/os/descriptor.hpp"

namespace lab::manager {

/// The other side has not shown that it has the key, or says that we have not, or has refused us.
struct AuthenticationError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// How long each side waits for the whole handshake, which takes less than a millisecond.
inline constexpr auto kHandshakePatience = std::chrono::seconds(5);

/// 32 random bytes.
std::string random_key();
/// Returns the key. Throws std::invalid_argument for an empty one, which is none.
const std::string& checked(const std::string& key);

/// The server's part; sends the client a sentence where it fails. Throws AuthenticationError; MessageError and
/// std::system_error for a client that is gone, is too slow (ETIMEDOUT) or speaks of something else.
void admit_client(int socket, const std::string& key, Deadline deadline);
/// The client's part; throws the same.
void introduce_to_server(int socket, const std::string& key, Deadline deadline);
/// In the server's part's place: there is no room, for the reason given. Waits for nobody.
void refuse_client(int socket, const std::string& sentence) noexcept;

}  // namespace lab::manager
