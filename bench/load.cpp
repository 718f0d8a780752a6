// Load for HTTP/1.1: upserts of Chroma's API, one at a time on each connection, as fast as they are answered.
//
//   bench_load PORT CONNECTIONS SECONDS PATH KEYS RECORDS usual|small FIRST
//
// A record is 8 KB: 384 dimensions as float32 print, a text of 3.8 KB, two fields; `small` is 1 KB with 32 dimensions.
// RECORDS of them are in a request: 1 is the small body, 128 make 1 MB. KEYS requests are made before the clock starts
// and sent in turn; FIRST: how many to pass over at first. Prints one line of JSON.
//
// It exists because the generator shares its core with the backend, and must not be what a measurement is bound by: one
// thread, one epoll set, one send and one receive for a request, nothing parsed but status and length. It never sleeps:
// waking an idle core costs the one who sends to it, here the proxy, more than sending, and whether the core is idle
// depends on who was quicker a moment before. Looking again and yielding to the backend keeps that out of every figure;
// its time without anything to do is what it says its core had left.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

std::string vector_text(uint64_t seed, int dimension) {
  std::string text = "[";
  uint64_t state = seed;
  for (int i = 0; i < dimension; ++i) {
    state = (state * 1103515245 + 12345) % 2147483648;
    char number[32];
    std::snprintf(number, sizeof number, "%s%.8f", i == 0 ? "" : ",",
                  static_cast<double>(state) / 2147483648.0 - 0.5);
    text += number;
  }
  return text + "]";
}

std::vector<std::string> make_requests(const std::string& path, size_t keys, size_t records, bool small) {
  std::vector<std::string> vectors;
  for (uint64_t i = 1; i <= 32; ++i) vectors.push_back(vector_text(i * 7919, small ? 32 : 384));
  std::string text;
  for (int i = 0; i < (small ? 11 : 81); ++i) text += "What an application stores beside its vectors. ";
  std::vector<std::string> requests;
  for (size_t i = 1; i <= keys; ++i) {
    std::string ids, embeddings, metadatas, documents;
    for (size_t r = 1; r <= records; ++r) {
      const char* comma = r == 1 ? "" : ",";
      char id[32];
      std::snprintf(id, sizeof id, "%s\"k%07zu\"", comma, (i - 1) * records + r);
      ids += id;
      embeddings += comma + vectors[(i + r) % 32];
      metadatas += comma + ("{\"n\":" + std::to_string(i)) + ",\"topic\":\"bench\"}";
      documents += comma + ("\"" + std::to_string(i)) + " " + text + "\"";
    }
    const std::string body = "{\"ids\":[" + ids + "],\"embeddings\":[" + embeddings + "],\"metadatas\":[" +
                             metadatas + "],\"documents\":[" + documents + "]}";
    requests.push_back("POST " + path +
                       " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: " +
                       std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  return requests;
}

struct Connection {
  int fd = -1;
  std::string_view left;  // of the request, not sent yet
  std::string answer;     // what has come of the answer
  Clock::time_point begun;
};

// Busy and all ticks of each core since boot.
std::vector<std::pair<double, double>> cores() {
  std::vector<std::pair<double, double>> found;
  std::ifstream stat("/proc/stat");
  for (std::string line; std::getline(stat, line);) {
    if (!line.starts_with("cpu") || line.starts_with("cpu ")) continue;
    std::istringstream in(line);
    std::string name;
    in >> name;
    double all = 0, idle = 0, ticks = 0;
    for (int i = 0; i < 8 && in >> ticks; ++i) {
      all += ticks;
      if (i == 3 || i == 4) idle += ticks;
    }
    found.emplace_back(all - idle, all);
  }
  return found;
}

class Load {
 public:
  Load(uint16_t port, size_t connections, std::vector<std::string> requests, size_t first)
      : port_(port),
        requests_(std::move(requests)),
        at_(first % requests_.size()),
        set_(::epoll_create1(EPOLL_CLOEXEC)),
        connections_(connections) {}

  void run(double seconds) {
    const auto before = cores();
    const auto begun = Clock::now();
    const auto end =
        begun + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    for (auto& connection : connections_) {
      if (open(connection)) send_next(connection);
    }
    Clock::duration spare{};
    for (auto now = begun; now < end;) {
      epoll_event events[256];
      const int count = ::epoll_wait(set_, events, 256, 0);
      for (int i = 0; i < count; ++i)
        on_event(*static_cast<Connection*>(events[i].data.ptr), events[i].events);
      if (count == 0) ::sched_yield();
      const auto before_this = std::exchange(now, Clock::now());
      // A yield that took longer let somebody else work.
      if (count == 0 && now - before_this < std::chrono::microseconds(3)) spare += now - before_this;
    }
    const double took = std::chrono::duration<double>(Clock::now() - begun).count();
    const auto after = cores();
    const auto percentile = [&](double q) {
      if (times_.empty()) return 0.0;
      const auto nth =
          times_.begin() + std::min<ptrdiff_t>(static_cast<ptrdiff_t>(q * static_cast<double>(times_.size())),
                                               static_cast<ptrdiff_t>(times_.size()) - 1);
      std::nth_element(times_.begin(), nth, times_.end());
      return static_cast<double>(*nth) / 10;
    };
    std::printf(
        "JSON {\"requests\": %zu, \"seconds\": %.6f, \"bad\": %zu, \"p50\": %.1f, \"p99\": %.1f, \"spare\": %.3f, \"cores\": [",
        times_.size(), took, bad_, percentile(0.5), percentile(0.99),
        std::chrono::duration<double>(spare).count() / took);
    for (size_t i = 0; i < after.size(); ++i) {
      const double all = after[i].second - before[i].second;
      std::printf("%s%.3f", i == 0 ? "" : ", ", all > 0 ? (after[i].first - before[i].first) / all : 0.0);
    }
    std::printf("]}\n");
  }

 private:
  bool open(Connection& c) {
    c.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(c.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      ++bad_;
      ::close(c.fd);
      c.fd = -1;
      return false;
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &c;
    ::epoll_ctl(set_, EPOLL_CTL_ADD, c.fd, &event);
    return true;
  }

  void send_next(Connection& c) {
    c.left = requests_[at_];
    at_ = at_ + 1 == requests_.size() ? 0 : at_ + 1;
    c.begun = Clock::now();
    send_left(c);
  }

  void send_left(Connection& c) {
    while (!c.left.empty()) {
      const ssize_t sent = ::send(c.fd, c.left.data(), c.left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) return;  // full: an event tells when it goes on; broken: one tells that, too
      c.left.remove_prefix(static_cast<size_t>(sent));
    }
  }

  void on_event(Connection& c, uint32_t what) {
    if (c.fd < 0) return;
    if ((what & EPOLLOUT) != 0 && !c.left.empty()) send_left(c);
    if ((what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return;
    char block[65536];
    for (;;) {
      const ssize_t got = ::recv(c.fd, block, sizeof block, MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return broken(c);
      const std::string_view piece(block, static_cast<size_t>(got));
      const bool whole = c.answer.empty() ? complete(piece) : complete(c.answer += piece);
      if (whole) {
        times_.push_back(static_cast<uint32_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - c.begun).count() / 100));
        c.answer.clear();
        send_next(c);
        return;  // nothing more can be there: one request at a time
      }
      if (c.answer.empty()) c.answer = piece;
    }
  }

  // The whole answer is there; counted as bad unless it is a success.
  bool complete(std::string_view answer) {
    const size_t end = answer.find("\r\n\r\n");
    if (end == std::string_view::npos) return false;
    size_t length = 0;
    for (size_t at = answer.find("\r\n"); at < end; at = answer.find("\r\n", at + 2)) {
      constexpr std::string_view name = "content-length:";
      if (end - at > name.size() && ::strncasecmp(answer.data() + at + 2, name.data(), name.size()) == 0)
        length = static_cast<size_t>(std::strtoull(answer.data() + at + 2 + name.size(), nullptr, 10));
    }
    if (answer.size() < end + 4 + length) return false;
    if (answer.size() < 10 || answer[9] != '2') ++bad_;
    return true;
  }

  void broken(Connection& c) {
    ++bad_;
    ::close(c.fd);
    c.answer.clear();
    if (bad_ < 10'000 && open(c)) send_next(c);
  }

  const uint16_t port_;
  const std::vector<std::string> requests_;
  size_t at_;
  const int set_;
  std::vector<Connection> connections_;
  std::vector<uint32_t> times_;  // tenths of a microsecond
  size_t bad_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr, "usage: %s PORT CONNECTIONS SECONDS PATH KEYS RECORDS usual|small FIRST\n", argv[0]);
    return 2;
  }
  const auto number = [&](int i) { return static_cast<size_t>(std::atoll(argv[i])); };
  Load load(static_cast<uint16_t>(number(1)), number(2),
            make_requests(argv[4], number(5), number(6), std::string_view(argv[7]) == "small"), number(8));
  load.run(std::atof(argv[3]));
}
