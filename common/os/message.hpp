// Frames: a length, then that many bytes, so that a stream of bytes carries one message after another.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/os/codec.hpp"
#include "common/os/descriptor.hpp"

namespace lab {

/// Longest message that is accepted unless the caller says otherwise.
inline constexpr std::size_t kMessageLimit = std::size_t{64} << 20;

/// The parts of every frame, whatever its header: writes header and body, together where the kernel takes them, so that a
/// small message costs one system call; with a deadline as send_message below.
void send_frame(int fd, std::string_view header, std::string_view body, Deadline deadline = Deadline::max());
/// Reads a body of that length; throws MessageError for an end of file inside it. A length is only a claim: allocates at
/// most 256 KiB or 4 times what has arrived.
[[gnu::hot]] std::string receive_body(int fd, std::size_t length, Deadline deadline = Deadline::max());

/// Writes one frame: a 4-byte length, then the body; together in one write where the kernel takes it, so that a small
/// message costs one system call. Throws std::system_error; MessageError beyond 4 GiB. With a deadline `fd` must be a
/// socket: then nobody waits longer (ETIMEDOUT), and a reader that has vanished is EPIPE and never a signal.
void send_message(int fd, std::string_view body, Deadline deadline = Deadline::max());

/// Reads one frame; none at end-of-file between frames. Throws MessageError for a length beyond `limit` and for an end
/// of file inside a frame, std::system_error for the rest (ETIMEDOUT: the deadline passed before all of it was there).
/// Allocates at most 256 KiB or 4 times what has arrived.
[[gnu::hot]] std::optional<std::string> receive_message(int fd, std::size_t limit = kMessageLimit,
                                                        Deadline deadline = Deadline::max());

}  // namespace lab
