#include "mmap_flag.hpp"

#include <fcntl.h>

#include <sys/types.h>
#include <unistd.h>

#include <cstdlib>

namespace lab::mmap_flag {
namespace {

constexpr std::size_t kPage = 4096, kHugePage = 2 << 20;

}  // namespace

Descriptor nameless_file(const std::string& folder, std::size_t bytes) {
  if (folder == "memory") return make_memfd("flag", bytes);
  Descriptor file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) {  // not every file system has files without a name: unlink one at once
    std::string name = folder + "/flag-XXXXXX";
    file.reset(::mkostemp(name.data(), O_CLOEXEC));
    if (!file) throw_errno("cannot make a file in " + folder);
    ::unlink(name.c_str());
  }
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) < 0) throw_errno("cannot extend a file in " + folder);
  return file;
}

Mapping map(const Backing& what) {
  const std::size_t bytes = what.flags & MAP_HUGETLB ? kHugePage : kPage;
  const Descriptor file = what.folder ? nameless_file(what.folder, bytes) : Descriptor();
  return Mapping::with(bytes, what.flags, file.get());
}

bool has_huge_pages() {
  void* page = ::mmap(nullptr, kHugePage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (page == MAP_FAILED) return false;
  ::munmap(page, kHugePage);
  return true;
}

}  // namespace lab::mmap_flag
