// A database that costs next to nothing: what stands behind every proxy in the comparison, so that the proxy is what
// is measured. Speaks as much of Chroma's API as vmproxy asks of a source or a target (collections, upsert, get,
// delete, count), keeps the records as the text they came in, and answers anything else with {}.
//
//   bench_backend PORT [COLLECTION DIMENSION [forget]]   the collection is there from the start; writes to it are
//                                                        answered and not kept: for what passes through only
//   GET /bench/records                            how many records there are
//   POST /bench/clear                             forgets them
//
// One thread, one epoll set, HTTP/1.1 with Content-Length.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocols/wire/json_scanner.h"

using vmproxy::protocols::wire::JsonScanner;

namespace {

struct Record {
  std::string embedding = "null", document = "null", metadata = "null";
};
struct Collection {
  std::string name, id;
  int dimension = 0;
  std::unordered_map<std::string, Record> records;
};

std::map<std::string, Collection> collections;  // by id
bool forget = false;

Collection& make_collection(const std::string& name, int dimension) {
  for (auto& [id, collection] : collections) {
    if (collection.name == name) return collection;
  }
  char id[40];
  std::snprintf(id, sizeof id, "00000000-0000-4000-8000-%012zx", collections.size() + 1);
  auto& made = collections[id];
  made.name = name;
  made.id = id;
  made.dimension = dimension;
  return made;
}

std::string json_of(const Collection& c) {
  return "{\"id\":\"" + c.id + "\",\"name\":\"" + c.name +
         "\",\"configuration_json\":{\"hnsw\":{\"space\":\"l2\",\"ef_construction\":100,\"ef_search\":100,"
         "\"max_neighbors\":16,\"resize_factor\":1.2,\"sync_threshold\":1000},\"spann\":null,\"embedding_function\":"
         "null},\"schema\":null,\"metadata\":null,\"dimension\":" +
         (c.dimension > 0 ? std::to_string(c.dimension) : "null") +
         ",\"tenant\":\"default_tenant\",\"database\":\"default_database\",\"log_position\":0,\"version\":0}";
}

// The texts of an array's elements.
std::vector<std::string_view> elements(std::string_view text) {
  std::vector<std::string_view> found;
  JsonScanner in(text);
  if (text.starts_with(
          "[[")) {  // vectors, which are most of a body, hold numbers only: brackets tell them apart
    for (size_t open = 1; open != std::string_view::npos; open = text.find('[', open)) {
      const size_t close = text.find(']', open);
      found.push_back(text.substr(open, close + 1 - open));
      open = close;
    }
    return found;
  }
  if (text == "null" || !in.enter_array()) return found;
  while (in.next_element()) {
    in.next_kind();
    const size_t start = in.offset();
    if (!in.skip_value()) break;
    found.push_back(text.substr(start, in.offset() - start));
  }
  return found;
}

// The members of an object. Arrays of vectors, which are most of a body, are skipped by their closing "]]".
std::map<std::string, std::string_view, std::less<>> members(std::string_view text) {
  std::map<std::string, std::string_view, std::less<>> found;
  size_t at = 1;
  while (at < text.size() && text[at] != '}') {
    const size_t open = text.find('"', at);
    const size_t close = text.find('"', open + 1);
    if (open == std::string_view::npos || close == std::string_view::npos) break;
    size_t start = text.find(':', close) + 1;
    while (start < text.size() && text[start] == ' ') ++start;
    size_t end;
    if (text.substr(start, 2) == "[[") {
      end = text.find("]]", start) + 2;
    } else {
      JsonScanner in(text.substr(start));
      in.skip_value();
      end = start + in.offset();
    }
    found.emplace(text.substr(open + 1, close - open - 1), text.substr(start, end - start));
    at = end;
    while (at < text.size() && (text[at] == ',' || text[at] == ' ')) ++at;
  }
  return found;
}

std::string_view unquoted(std::string_view text) {
  return text.size() < 2 ? text : text.substr(1, text.size() - 2);
}

void upsert(Collection& c, std::string_view body) {
  const auto parts = members(body);
  const auto part = [&](std::string_view name) {
    const auto at = parts.find(name);
    return at == parts.end() ? std::vector<std::string_view>() : elements(at->second);
  };
  const auto ids = part("ids"), embeddings = part("embeddings"), documents = part("documents"),
             metadatas = part("metadatas");
  for (size_t i = 0; i < ids.size(); ++i) {
    Record& record = c.records[std::string(unquoted(ids[i]))];
    if (i < embeddings.size()) record.embedding = embeddings[i];
    if (i < documents.size() && documents[i] != "null") record.document = documents[i];
    if (i < metadatas.size() && metadatas[i] != "null") record.metadata = metadatas[i];
  }
}

std::string get(const Collection& c, std::string_view body) {
  const auto parts = members(body);
  const auto at = parts.find("ids");
  const auto include = parts.find("include");
  const bool vectors = include != parts.end() && include->second.find("embeddings") != std::string_view::npos;
  const bool documents =
      include == parts.end() || include->second.find("documents") != std::string_view::npos;
  const bool metadatas =
      include == parts.end() || include->second.find("metadatas") != std::string_view::npos;
  std::string ids_out, embeddings_out, documents_out, metadatas_out;
  const auto add = [&](std::string_view id, const Record& record) {
    const char* comma = ids_out.empty() ? "" : ",";
    ((ids_out += comma) += '"') += id;
    ids_out += '"';
    if (vectors) (embeddings_out += comma) += record.embedding;
    if (documents) (documents_out += comma) += record.document;
    if (metadatas) (metadatas_out += comma) += record.metadata;
  };
  if (at != parts.end() && at->second != "null") {
    for (const auto text : elements(at->second)) {
      const auto found = c.records.find(std::string(unquoted(text)));
      if (found != c.records.end()) add(found->first, found->second);
    }
  } else {
    const auto number = [&](std::string_view name, size_t otherwise) {
      const auto n = parts.find(name);
      return n == parts.end() || n->second == "null"
                 ? otherwise
                 : static_cast<size_t>(std::atoll(std::string(n->second).c_str()));
    };
    size_t skip = number("offset", 0), left = number("limit", SIZE_MAX);
    for (const auto& [id, record] : c.records) {
      if (skip > 0) {
        --skip;
        continue;
      }
      if (left-- == 0) break;
      add(id, record);
    }
  }
  const auto list = [](bool wanted, const std::string& text) {
    return wanted ? "[" + text + "]" : std::string("null");
  };
  return "{\"ids\":[" + ids_out + "],\"embeddings\":" + list(vectors, embeddings_out) +
         ",\"documents\":" + list(documents, documents_out) +
         ",\"metadatas\":" + list(metadatas, metadatas_out) + ",\"uris\":null,\"include\":[]}";
}

constexpr std::string_view database = "/api/v2/tenants/default_tenant/databases/default_database";

std::string answer(std::string_view method, std::string_view path, std::string_view body, int& status) {
  status = 200;
  path = path.substr(0, path.find('?'));
  if (path.starts_with(database)) {
    auto rest = path.substr(database.size());
    if (rest.empty())
      return "{\"id\":\"00000000-0000-4000-8000-000000000000\",\"name\":\"default_database\",\"tenant\":\"default_tenant\"}";
    if (rest == "/collections" && method == "GET") {
      std::string all;
      for (const auto& [id, c] : collections) (all += all.empty() ? "" : ",") += json_of(c);
      return "[" + all + "]";
    }
    if (rest == "/collections") {
      const auto parts = members(body);
      const auto name = parts.find("name");
      return json_of(
          make_collection(std::string(name == parts.end() ? "unnamed" : unquoted(name->second)), 0));
    }
    if (rest.starts_with("/collections/")) {
      rest.remove_prefix(13);
      const auto slash = rest.find('/');
      const auto which = rest.substr(0, slash);
      const auto action = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
      auto found = collections.find(std::string(which));
      if (action.empty() && method == "GET") {
        for (const auto& [id, c] : collections) {
          if (c.name == which) return json_of(c);
        }
      }
      if (found == collections.end()) {
        status = 404;
        return "{\"error\":\"NotFoundError\",\"message\":\"no such collection\"}";
      }
      if (action == "upsert" || action == "add" || action == "update") {
        if (!forget) upsert(found->second, body);
        return "{}";
      }
      if (action == "get") return get(found->second, body);
      if (action == "count") return std::to_string(found->second.records.size());
      if (action == "delete") {
        const auto parts = members(body);
        const auto ids = parts.find("ids");
        if (ids != parts.end()) {
          for (const auto id : elements(ids->second)) found->second.records.erase(std::string(unquoted(id)));
        }
        return "{\"deleted\":0}";
      }
    }
    return "{}";
  }
  if (path == "/bench/records") {
    size_t all = 0;
    for (const auto& [id, c] : collections) all += c.records.size();
    return std::to_string(all);
  }
  if (path == "/bench/clear") {
    for (auto& [id, c] : collections) c.records.clear();
    return "{}";
  }
  if (path == "/api/v2/version") return "\"1.0.0\"";
  if (path == "/api/v2/pre-flight-checks")
    return "{\"max_batch_size\":5461,\"supports_base64_encoding\":true}";
  if (path == "/api/v2/auth/identity")
    return "{\"user_id\":\"\",\"tenant\":\"default_tenant\",\"databases\":[\"default_database\"]}";
  if (path == "/api/v2/tenants/default_tenant/databases")
    return "[{\"id\":\"00000000-0000-4000-8000-000000000000\",\"name\":\"default_database\",\"tenant\":\"default_tenant\"}]";
  if (path == "/api/v2/tenants/default_tenant") return "{\"name\":\"default_tenant\"}";
  return "{}";
}

struct Client {
  explicit Client(int f) : fd(f) {}
  int fd;
  std::string in;     // bytes received and not yet used
  size_t head = 0;    // its head, 0: not complete
  size_t length = 0;  // its body
  std::string out;
  size_t sent = 0;
};

size_t content_length(std::string_view head) {
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    constexpr std::string_view name = "content-length:";
    const auto line = head.substr(at + 2, name.size());
    if (line.size() == name.size() && strncasecmp(line.data(), name.data(), name.size()) == 0)
      return static_cast<size_t>(std::strtoull(head.data() + at + 2 + name.size(), nullptr, 10));
  }
  return 0;
}

bool flush(Client& c) {
  while (c.sent < c.out.size()) {
    const ssize_t n = ::send(c.fd, c.out.data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    c.sent += static_cast<size_t>(n);
  }
  c.out.clear();
  c.sent = 0;
  return true;
}

void serve(Client& c) {
  size_t used = 0;
  for (;;) {
    const std::string_view here = std::string_view(c.in).substr(used);
    if (c.head == 0) {
      const size_t end = here.find("\r\n\r\n");
      if (end == std::string_view::npos) break;
      c.head = end + 4;
      c.length = content_length(here.substr(0, c.head));
      c.in.reserve(used + c.head + c.length);
    }
    if (c.in.size() - used < c.head + c.length) break;
    const std::string_view request = std::string_view(c.in).substr(used);
    const size_t space = request.find(' ');
    const size_t end = request.find(' ', space + 1);
    int status = 200;
    const std::string body = answer(request.substr(0, space), request.substr(space + 1, end - space - 1),
                                    request.substr(c.head, c.length), status);
    c.out += status == 200 ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 404 Not Found\r\n";
    c.out += "content-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" +
             body;
    used += c.head + c.length;
    c.head = c.length = 0;
  }
  c.in.erase(0, used);
}

// False: the connection is over.
bool on_readable(Client& c) {
  static char block[256 * 1024];
  for (;;) {
    const ssize_t n = ::recv(c.fd, block, sizeof block, 0);
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN;
    c.in.append(block, static_cast<size_t>(n));
    serve(c);
    if (!flush(c)) return false;
    if (static_cast<size_t>(n) < sizeof block) return true;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4 && argc != 5) {
    std::fprintf(stderr, "usage: %s PORT [COLLECTION DIMENSION [forget]]\n", argv[0]);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  // It does not interrupt the load generator, which yields to it: the proxy's send would pay for that interrupt.
  const sched_param none{};
  (void)::sched_setscheduler(0, SCHED_BATCH, &none);
  if (argc >= 4) make_collection(argv[2], std::atoi(argv[3]));
  forget = argc == 5;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 4096) != 0) {
    std::perror("bench_backend: cannot listen");
    return 1;
  }
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  ::epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    epoll_event events[256];
    const int count = ::epoll_wait(set, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.ptr == nullptr) {
        for (int fd; (fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
          ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          epoll_event of_client{};
          of_client.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
          of_client.data.ptr = new Client(fd);
          ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &of_client);
        }
        continue;
      }
      auto* client = static_cast<Client*>(events[i].data.ptr);
      const bool alive = flush(*client) && ((events[i].events & EPOLLIN) == 0 || on_readable(*client)) &&
                         (events[i].events & (EPOLLHUP | EPOLLERR)) == 0;
      if (!alive) {
        ::close(client->fd);
        delete client;
      }
    }
  }
}
