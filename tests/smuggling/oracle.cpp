#include "oracle.h"

#include <algorithm>

namespace vmproxy::smuggling {
namespace {

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Without what is for one hop only.
Fields lasting(const Fields& fields) {
  std::vector<std::string> hop{"connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect"};
  for (const auto& [name, value] : fields) {
    if (!net::equal_ignoring_case(name, "connection")) continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      auto option = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), option.size() + 1));
      while (!option.empty() && option.front() == ' ') option.remove_prefix(1);
      while (!option.empty() && option.back() == ' ') option.remove_suffix(1);
      hop.emplace_back(option);
    }
  }
  Fields out;
  for (const auto& field : fields) {
    const auto same = [&](const std::string& name) { return net::equal_ignoring_case(name, field.first); };
    if (std::none_of(hop.begin(), hop.end(), same)) out.push_back(field);
  }
  return out;
}

bool same(const ReadRequest& a, const ReadRequest& b) {
  return a.method == b.method && a.target == b.target && a.chunked == b.chunked && a.body == b.body &&
         lasting(a.fields) == lasting(b.fields);
}

// Whether a request line says at its end that it is HTTP, of whatever version.
bool names_http(std::string_view said) {
  auto line = said.substr(0, said.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  const auto space = line.rfind(' ');
  return space != line.npos && line.substr(space + 1).starts_with("HTTP/");
}

// Status lines that begin so. A text of ours may name the protocol, but no status.
size_t count_answers(std::string_view text, std::string_view status) {
  constexpr std::string_view begin = "HTTP/1.1 ";
  size_t found = 0;
  for (auto at = text.find(begin); at != text.npos; at = text.find(begin, at + 1)) {
    const auto behind = text.substr(at + begin.size(), 3);
    found += behind.starts_with(status) && behind.find_first_not_of("0123456789") == behind.npos;
  }
  return found;
}

bool of_case(std::string_view target, const std::string& prefix) {
  return target.find("/" + prefix + "/") != target.npos;
}

// A database of HTTP/1 that was spoken to in HTTP/2 has heard nothing but that: no HEADERS, no DATA.
bool only_preface(std::string_view bytes) {
  if (!bytes.starts_with(preface)) return false;
  bytes.remove_prefix(preface.size());
  while (bytes.size() >= 9) {
    const size_t length = static_cast<uint8_t>(bytes[0]) * size_t{65536} +
                          static_cast<uint8_t>(bytes[1]) * size_t{256} + static_cast<uint8_t>(bytes[2]);
    if (bytes[3] == 0 || bytes[3] == 1) return false;
    bytes.remove_prefix(std::min(bytes.size(), 9 + length));
  }
  return true;
}

class Judge {
 public:
  Judge(const Log& log, Verdict& verdict) : log_(log), verdict_(verdict) {}

  void connections() {
    for (const auto& bytes : log_.connections()) {
      if (only_preface(bytes)) continue;
      const auto read = read_strictly(bytes);
      if (!read.problem.empty())
        find("", "the database got bytes that are no request: " + read.problem, read.rest);
    }
    for (const auto& request : log_.arrived()) {
      if (request.target.find("/smuggled") != std::string::npos)
        find("", "a smuggled request arrived", request.target);
    }
    for (const auto& believed : log_.believed()) {
      if (believed.target.find("/smuggled") != std::string::npos)
        find("", "a smuggled request was taken up", believed.target);
      for (const auto& [name, value] : believed.fields) {
        if ((name + value).find_first_of("\r\n") != std::string::npos)
          find("", "a field of several lines", name);
      }
    }
  }

  void one(const Played& played) {
    std::vector<ReadRequest> arrived;
    for (const auto& request : log_.arrived()) {
      if (of_case(request.target, played.prefix)) arrived.push_back(request);
    }
    std::vector<Believed> answered;
    for (const auto& believed : log_.believed()) {
      if (of_case(believed.target, played.prefix) && believed.answered) answered.push_back(believed);
    }
    if (!played.ended) find(played.prefix, "the connection did not end", played.answers);
    if (answered.size() != arrived.size())
      return find(played.prefix,
                  "the front believes in " + std::to_string(answered.size()) + " requests, " +
                      std::to_string(arrived.size()) + " arrived",
                  played.one.bytes);
    for (size_t i = 0; i < arrived.size(); ++i) {
      const bool equal = answered[i].method == arrived[i].method && answered[i].target == arrived[i].target &&
                         lasting(answered[i].fields) == lasting(arrived[i].fields);
      if (!equal) find(played.prefix, "the front believes in another request than arrived", played.one.bytes);
    }
    if (played.http2) {
      http2(played, arrived);
    } else {
      http1(played, arrived);
    }
  }

 private:
  void http1(const Played& played, const std::vector<ReadRequest>& arrived) {
    std::string_view said = played.one.bytes;
    while (said.starts_with("\r\n"))
      said.remove_prefix(2);  // before a request they mean nothing (RFC 9112, 2.2)
    const auto strict = read_strictly(said);
    if (arrived.size() > strict.requests.size())
      return find(played.prefix, "more requests arrived than the client said", played.one.bytes);
    for (size_t i = 0; i < arrived.size(); ++i) {
      if (!same(arrived[i], strict.requests[i]))
        find(played.prefix, "a request arrived changed", played.one.bytes);
    }
    const bool all = arrived.size() == strict.requests.size() && strict.problem.empty();
    const size_t ok = count_answers(played.answers, "200"), refused = count_answers(played.answers, "400");
    const size_t answers = count_answers(played.answers, "");
    // Who begins with something else than HTTP is not answered: he could not read it (RFC 9113, 3.4).
    const bool without_a_word = arrived.empty() && answers == 0 && !names_http(said);
    if (!without_a_word && (ok != arrived.size() || refused != (all ? 0u : 1u) || answers != ok + refused))
      find(played.prefix, "it was not answered by a 200 for each request and one 400 for the fault",
           played.answers);
    if (!all) ++verdict_.refused;
    expect(played, all, arrived.empty());
  }

  void http2(const Played& played, const std::vector<ReadRequest>& arrived) {
    if (arrived.empty()) ++verdict_.refused;
    if (played.to_http1) {
      if (!arrived.empty()) find(played.prefix, "a request of HTTP/2 arrived in HTTP/1", played.one.bytes);
      return;
    }
    if (arrived.size() > 1) find(played.prefix, "one request became several", played.one.bytes);
    if (!arrived.empty() && arrived[0].body != played.one.body)
      find(played.prefix, "a body arrived changed", arrived[0].body);
    expect(played, arrived.size() == 1, arrived.empty());
  }

  void expect(const Played& played, bool accepted, bool refused) {
    if (played.one.expected == Expected::accepted && !accepted)
      find(played.prefix, "a sound request was refused", played.one.bytes + played.answers);
    if (played.one.expected == Expected::refused && !refused)
      find(played.prefix, "a doubtful request arrived", played.one.bytes);
  }

  void find(const std::string& prefix, const std::string& what, std::string_view shown) {
    std::string line = (prefix.empty() ? std::string("batch") : prefix) + ": " + what + ": ";
    for (const char c : shown.substr(0, 600)) {
      char escaped[8];
      const auto byte = static_cast<uint8_t>(c);
      std::snprintf(escaped, sizeof escaped, byte >= 0x20 && byte < 0x7f && c != '\\' ? "%c" : "\\x%02x",
                    byte);
      line += escaped;
    }
    verdict_.findings.push_back(std::move(line));
  }

  const Log& log_;
  Verdict& verdict_;
};

}  // namespace

Verdict judge(const std::vector<Played>& batch, const Log& log) {
  Verdict verdict;
  Judge judge(log, verdict);
  judge.connections();
  for (const auto& played : batch) judge.one(played);
  return verdict;
}

}  // namespace vmproxy::smuggling
