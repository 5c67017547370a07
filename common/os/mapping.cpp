#include "common/os/mapping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace lab {

Mapping Mapping::with(std::size_t bytes, int flags, int fd) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (data == MAP_FAILED) throw_errno("cannot map " + std::to_string(bytes) + " bytes");
  return {data, bytes};
}

Mapping Mapping::anonymous(std::size_t bytes) {
  return with(std::max<std::size_t>(bytes, 1), MAP_SHARED | MAP_ANONYMOUS);
}

Mapping Mapping::of(const Descriptor& file) {
  struct stat status {};
  if (::fstat(file.get(), &status) < 0) throw_errno("cannot look at a file to map");
  if (status.st_size <= 0) throw std::invalid_argument("cannot map an empty file");
  const auto bytes = static_cast<std::size_t>(status.st_size);
  return with(bytes, MAP_SHARED, file.get());
}

Mapping::~Mapping() {
  if (data_) ::munmap(data_, size_);
}

Descriptor make_memfd(const std::string& label, std::size_t bytes) {
  Descriptor file(::memfd_create(label.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) throw_errno("cannot make a memfd");
  do {
    errno = ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes));
  } while (errno == EINTR);
  if (errno != 0) throw_errno("cannot reserve " + std::to_string(bytes) + " bytes of shared memory");
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    throw_errno("cannot seal a memfd");
  return file;
}

}  // namespace lab
