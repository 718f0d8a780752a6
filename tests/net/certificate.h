// A certificate for tests of TLS, and the options of both ends that use it.
#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "support.h"

namespace vmproxy::net::test {

// For the names db.test and localhost and for 127.0.0.1, its own authority.
struct Certificate {
  Certificate() {
    directory = std::filesystem::temp_directory_path() / ("vmproxy_tls_" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory);
    const std::string command =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=db.test -addext "
        "'subjectAltName=DNS:db.test,DNS:localhost,IP:127.0.0.1' -keyout " +
        key() + " -out " + file() + " 2>/dev/null";
    REQUIRE(std::system(command.c_str()) == 0);
  }
  ~Certificate() { std::filesystem::remove_all(directory); }
  std::string file() const { return directory / "cert.pem"; }
  std::string key() const { return directory / "key.pem"; }
  std::filesystem::path directory;
};

inline ListenOptions listen_with(const Certificate& certificate) {
  ListenOptions options;
  options.tls.certificate_file = certificate.file();
  options.tls.key_file = certificate.key();
  return options;
}

inline UpstreamOptions reach(uint16_t port, const Certificate& certificate) {
  UpstreamOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.tls.enabled = true;
  options.tls.ca_file = certificate.file();
  return options;
}

}  // namespace vmproxy::net::test
