#include "engine.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cmath>

#include "common/machine/quota.hpp"
#include "task.hpp"

namespace lab::pool {
namespace {

std::atomic<std::uint64_t> pools{0};

// A parent that is gone reads no replies: nothing to complain about.
int work(std::string_view argument, std::span<Descriptor> descriptors) try {
  Decoder in(argument);
  const auto plan = in.get<WorkerPlan>();
  const auto at = in.get<std::uint64_t>();
  in.finish();
  const Mapping memory = Mapping::of(descriptors[2]);
  if (at >= memory.size() / sizeof(Begun)) throw MessageError("a worker's place lies outside the shared memory");
  return serve(plan, descriptors[0].get(), descriptors[1].get(), reinterpret_cast<Begun*>(memory.data())[at]);
} catch (const std::system_error& error) {
  if (error.code().value() == EPIPE) return 0;
  throw;
}
const bool known = start::register_entry("pool worker", work);

// A container's quota grants time, not CPUs: more workers than it pays for only take turns.
std::size_t default_size() {
  const auto quota = cpu_quota();
  return static_cast<std::size_t>(quota ? std::min(allowed_cpus(), static_cast<int>(std::ceil(*quota)))
                                        : allowed_cpus());
}

}  // namespace

Engine::Engine(const Options& options)
    : options_(options),
      owner_(::getpid()),
      number_(++pools),
      size_(options.processes ? static_cast<std::size_t>(*options.processes) : default_size()),
      starter_(options),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      workers_(size_) {
  if (!epoll_ || !wake_) throw_errno("cannot make a pool's event queue");
  watch(wake_.get(), EPOLLIN, kWakeUp);
  memory_file_ = make_memfd("pool", size_ * sizeof(Begun));
  memory_ = Mapping::of(memory_file_);
}

std::shared_ptr<Engine> Engine::make(const Options& options) {
  const auto engine = std::make_shared<Engine>(options);
  for (std::size_t at = 0; at < engine->size_; ++at) engine->install(at, engine->start_worker(at));
  // It keeps the engine: where the pool goes in one of its own threads, this is the last to leave.
  engine->result_handler_ = std::thread([engine] { engine->handle_results(); });
  return engine;
}

Engine::~Engine() { release_workers(); }

// Letting go of a process kills it; a thread reads an end of file and ends.
void Engine::release_workers() {
  std::vector<Worker> last(size_);
  {
    const std::lock_guard lock(mutex_);
    last.swap(workers_);
  }
  for (Worker& worker : last) {
    if (!worker.child) continue;
    worker.pipeline = {}, worker.replies.reset();
    if (options_.vehicle == Vehicle::threads) worker.child->wait(Deadline::max()), worker.child->take_exit_code();
  }
}

void Engine::let_go(std::shared_ptr<Engine> engine) {
  if (::getpid() != engine->owner_) {
    static std::mutex mutex;
    static auto& copies = *new std::vector<std::shared_ptr<Engine>>;
    const std::lock_guard lock(mutex);
    copies.push_back(std::move(engine));
    return;
  }
  engine->terminate();
  engine->is_own_thread() ? engine->result_handler_.detach() : engine->result_handler_.join();
}

void Engine::watch(int fd, std::uint32_t events, std::uint64_t what) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = what;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) throw_errno("cannot watch a pool's descriptor");
}

// Explicitly: what a forked copy of this process holds open, epoll would not forget by itself when we close it.
void Engine::unwatch(int fd) const { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

Engine::Worker Engine::start_worker(std::size_t at) {
  auto [their_tasks, our_tasks] = make_pipe();
  auto [our_replies, their_replies] = make_pipe();
  ::fcntl(our_tasks.get(), F_SETFL, O_NONBLOCK);  // of our ends only: the handler must never wait for one worker
  ::fcntl(our_replies.get(), F_SETFL, O_NONBLOCK);
  Worker worker;
  worker.name = starter_.next_name();
  new (&begun(at)) Begun;
  WorkerPlan plan{worker.name, options_.initializer, options_.initargs,
                  options_.vehicle == Vehicle::threads ? number_ : 0,
                  options_.cpus.empty() ? -1 : options_.cpus[at % options_.cpus.size()]};
  worker.child = starter_.start("pool worker", worker.name, encode(plan, std::uint64_t{at}),
                                {their_tasks.get(), their_replies.get(), memory_file_.get()});
  worker.replies = std::move(our_replies);
  worker.pipeline = Pipeline(std::move(our_tasks), begun(at));
  worker.alive = true;
  return worker;
}

void Engine::install(std::size_t at, Worker worker) {
  workers_[at] = std::move(worker);
  watch(workers_[at].pipeline.descriptor(), EPOLLOUT | EPOLLET, at * sources + tasks);  // a full pipe has room again
  watch(workers_[at].replies.get(), EPOLLIN, at * sources + replies);
  watch(workers_[at].child->sentinel(), EPOLLIN, at * sources + sentinel);
}

void Engine::wake() const { ::eventfd_write(wake_.get(), 1); }

bool Engine::wait_until_ready(const Timeout& timeout) const {
  const Deadline deadline = timeout.deadline();
  for (std::size_t at = 0; at < size_; ++at) {
    for (; begun(at).ready.load() == 0; futex_wait(begun(at).ready, 0, deadline)) {
      if (Clock::now() > deadline) return false;
    }
  }
  return true;
}

void Engine::close() {
  check_owner(owner_);
  const std::lock_guard lock(mutex_);
  if (state_ == State::run) state_ = State::close;
  changed_.notify_all();
  wake();
}

void Engine::terminate() {
  check_owner(owner_);
  std::unique_lock lock(mutex_);
  state_ = State::terminate;
  for (const auto& [id, job] : jobs_) job->stop();
  changed_.notify_all();
  wake();
  if (!is_own_thread()) changed_.wait(lock, [&] { return done_; });  // else it ends when that thread comes to it
}

bool Engine::join(const Timeout& timeout) {
  check_owner(owner_);
  std::unique_lock lock(mutex_);
  if (state_ == State::run) throw std::logic_error("Pool is still running");
  if (is_own_thread()) throw std::logic_error("a pool's own thread cannot wait for the pool's end");
  for (const auto& [id, job] : jobs_) job->read_on();
  const auto done = [&] { return done_; };
  if (timeout) return changed_.wait_until(lock, timeout.deadline(), done);
  changed_.wait(lock, done);
  return true;
}

std::size_t Engine::living() const {
  return static_cast<std::size_t>(std::ranges::count(workers_, true, &Worker::alive));
}

std::vector<pid_t> Engine::pids() const {
  check_owner(owner_);
  const std::lock_guard lock(mutex_);
  std::vector<pid_t> pids;
  for (const Worker& worker : workers_) {
    if (worker.alive) pids.push_back(worker.child->pid());
  }
  return pids;
}

void Engine::submit(const std::shared_ptr<Job>& job, std::size_t chunks) {
  add_job(job);
  if (chunks == 0) job->publish(), forget(*job);
  queue_chunks(job, 0, chunks);
}

void Engine::submit_unread(const std::shared_ptr<Job>& job, const Read& read) {
  constexpr std::size_t kReadAhead = 64;
  add_job(job);
  const auto done = std::make_shared<std::atomic<bool>>(false);
  const auto in_a_thread = [this, job, read, done] {
    this_thread().pool = number_;
    if (read(kReadAhead, [&](std::size_t chunk) { queue_chunks(job, chunk, chunk + 1); })) forget(*job);
    done->store(true);
  };
  const std::lock_guard lock(readers_mutex_);
  if (const auto error = attempt([&] {
        if (closed_to_readers_) throw NotRunning("Pool not running");
        std::erase_if(readers_, [](const Reader& reader) { return reader.done->load(); });
        readers_.push_back({std::jthread(in_a_thread), done});
      })) {
    forget(*job);
    std::rethrow_exception(error);
  }
}

void Engine::add_job(const std::shared_ptr<Job>& job) {
  check_owner(owner_);
  const std::lock_guard lock(mutex_);
  if (!broken_.empty()) throw NotRunning(broken_);
  if (state_ != State::run) throw NotRunning("Pool not running");
  job->id = ++ids_;
  job->handler = result_handler_.get_id();
  jobs_.emplace(job->id, job);
}

// Queues chunks from <= number < to. The caller's own thread writes to idle workers.
void Engine::queue_chunks(const std::shared_ptr<Job>& job, std::size_t from, std::size_t to) {
  const std::lock_guard lock(mutex_);
  if (from == to || !jobs_.contains(job->id)) return;  // abandoned meanwhile
  queue_.push_back({job, from, to});
  dispatch();
}

// The job's last reference may be this one, and with it go values and callbacks, which are the user's: not under the
// lock.
void Engine::forget(const Job& job) {
  decltype(jobs_)::node_type gone;
  const std::lock_guard lock(mutex_);
  gone = jobs_.extract(job.id);
  if (jobs_.empty() && state_ == State::close) changed_.notify_all(), wake();
}

void Engine::dispatch() {
  if (state_ == State::terminate) return;
  for (bool taken_back = false; Worker* worker = least_busy();) {
    if (queue_.empty()) {
      // Somebody is idle while chunks wait behind another's: those go back into the queue, once.
      if (taken_back || !worker->pipeline.in_flight().empty()) break;
      for (Worker& other : workers_) other.pipeline.take_back(queue_, 1);
      taken_back = true;
      continue;
    }
    Waiting& first = queue_.front();
    const Job::Chunk chunk = first.job->chunk(first.next);
    if (chunk.refused) {  // its error is for the result handler, for jobs are completed by one thread
      refused_.emplace_back(first.job, first.next);
      wake();
    } else {
      worker->pipeline.send(first.job, first.next, chunk);
    }
    if (++first.next == first.end) queue_.pop_front();
  }
  for (Worker& worker : workers_) worker.pipeline.flush();
}

// Its tasks are counted here alone: two counts of one thing drift apart.
bool Engine::spent(const Worker& worker) const {
  return options_.tasks_per_child && worker.pipeline.had() >= static_cast<std::uint64_t>(*options_.tasks_per_child);
}

Engine::Worker* Engine::least_busy() {
  Worker* best = nullptr;
  for (Worker& worker : workers_) {
    if (!worker.alive || worker.sentinel_sent || spent(worker) || worker.pipeline.full()) continue;
    if (best == nullptr || worker.pipeline.in_flight().size() < best->pipeline.in_flight().size()) best = &worker;
    if (best->pipeline.in_flight().empty()) break;
  }
  return best;
}

// A worker that has had its tasks is told to end once it has answered them; and all are when the pool is over.
void Engine::send_sentinels() {
  for (Worker& worker : workers_) {
    if (!worker.alive || worker.sentinel_sent || !(over() || (spent(worker) && worker.pipeline.in_flight().empty())))
      continue;
    worker.sentinel_sent = true;
    worker.pipeline.send_sentinel();
    worker.pipeline.flush();
  }
}

}  // namespace lab::pool
