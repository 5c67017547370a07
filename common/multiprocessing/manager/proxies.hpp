// Proxies: what a user holds of a manager's objects. Each call is a message to the server and one back. A timeout that is
// not given is as long as it takes; whatever it is, the server's end ends the call with ManagerLost.
#pragma once

#include <map>
#include <string>

#include "common/multiprocessing/manager/client.hpp"
#include "common/multiprocessing/queue/queue.hpp"

namespace lab::manager {

/// Any value. TRAP, as in Python: get and set are two calls, and others may come between them: `set(get() + 1)` loses updates.
class Value : public ProxyOf<Type::value> {
 public:
  using ProxyOf::ProxyOf;
  Object get() const { return call(Method::get); }
  void set(Object value) const { call(Method::set, {std::move(value)}); }
};

/// Attributes by name. One whose name begins with an underscore stays in this process, as in Python. AttributeError for what is not there.
class Namespace : public ProxyOf<Type::name_space> {
 public:
  using ProxyOf::ProxyOf;
  Object get(const std::string& name) const {
    if (!name.starts_with('_')) return call(Method::get, {name});
    if (!own_->contains(name)) throw AttributeError("this Namespace has no attribute " + name);
    return own_->at(name);
  }
  void set(const std::string& name, Object value) const {
    if (name.starts_with('_')) {
      (*own_)[name] = std::move(value);
    } else {
      call(Method::set, {name, std::move(value)});
    }
  }
  void remove(const std::string& name) const { call(Method::remove, {name}); }
  Entries copy() const { return std::get<Entries>(call(Method::copy)); }

 private:
  std::shared_ptr<Entries> own_ = std::make_shared<Entries>();
};

/// TRAP: what get returns is a copy. A plain list or dict inside changes only when it is set again; a proxy inside is the
/// object itself. Negative indices count from the end. IndexError.
class List : public ProxyOf<Type::list> {
 public:
  using ProxyOf::ProxyOf;
  Object get(std::int64_t index) const { return call(Method::get, {index}); }
  void set(std::int64_t index, Object item) const { call(Method::set, {index, std::move(item)}); }
  void append(Object item) const { call(Method::append, {std::move(item)}); }
  void insert(std::int64_t index, Object item) const { call(Method::insert, {index, std::move(item)}); }
  Object pop(std::int64_t index = -1) const { return call(Method::pop, {index}); }
  void remove(std::int64_t index) const { call(Method::remove, {index}); }
  std::int64_t size() const { return std::get<std::int64_t>(call(Method::size)); }
  Items copy() const { return std::get<Items>(call(Method::copy)); }
  void clear() const { call(Method::clear); }
};

/// TRAP: as with List. KeyError.
class Dict : public ProxyOf<Type::dict> {
 public:
  using ProxyOf::ProxyOf;
  Object get(const std::string& key) const { return call(Method::get, {key}); }
  void set(const std::string& key, Object value) const { call(Method::set, {key, std::move(value)}); }
  Object pop(const std::string& key) const { return call(Method::pop, {key}); }
  void remove(const std::string& key) const { call(Method::remove, {key}); }
  bool contains(const std::string& key) const { return std::get<bool>(call(Method::contains, {key})); }
  std::int64_t size() const { return std::get<std::int64_t>(call(Method::size)); }
  Items keys() const { return std::get<Items>(call(Method::keys)); }
  Entries copy() const { return std::get<Entries>(call(Method::copy)); }
  void clear() const { call(Method::clear); }
};

/// Whoever likes may release it; ValueError when nobody holds it. When the process that holds it ends, by whatever cause, it
/// is free again, and who waits, or else the next to come, gets HolderDied in place of the lock.
class Lock : public ProxyOf<Type::lock> {
 public:
  using ProxyOf::ProxyOf;
  /// False once the timeout has passed. Throws HolderDied.
  bool acquire(Timeout timeout = std::nullopt) const {
    return std::get<bool>(call(Method::acquire, {seconds_of(timeout)}, timeout));
  }
  void release() const { call(Method::release); }
  bool locked() const { return std::get<bool>(call(Method::locked)); }
  void lock() const { acquire(); }  ///< for std::lock_guard
  void unlock() const { release(); }
};

/// Of at most so many items; 0: of any number. queue::Full, queue::Empty once the timeout has passed. An item that was got by a process that died
/// before it could take it is the next one again.
class Queue : public ProxyOf<Type::queue> {
 public:
  using ProxyOf::ProxyOf;
  void put(Object item, Timeout timeout = std::nullopt) const {
    call(Method::put, {std::move(item), seconds_of(timeout)}, timeout);
  }
  Object get(Timeout timeout = std::nullopt) const { return call(Method::get, {seconds_of(timeout)}, timeout); }
  std::int64_t size() const { return std::get<std::int64_t>(call(Method::size)); }
};

}  // namespace lab::manager
