// What needs the list of systems, which config/ does not know: the caller passes their names.
#include "config/config.h"
#include "config/nearest.h"

namespace vmproxy::config {
namespace {

std::string unknown(const std::string& what, const std::string& name, const std::vector<std::string>& known) {
  std::string text = "unknown " + what + " '" + name + "'";
  if (const auto close = nearest(name, known)) return text + "; did you mean '" + *close + "'?";
  return text + "; this vmproxy knows " + one_of(known);
}

}  // namespace

std::string journal_directory(const Config& config, const std::string& migration) {
  return config.data_dir + "/" + migration;
}

Result<void> validate(const Config& config, const KnownNames& known, const std::string& origin) {
  std::string all;
  const auto problem = [&all](const std::string& at, const std::string& text) {
    all += (all.empty() ? "" : "\n") + at + ": " + text;
  };

  for (const auto& [name, database] : config.databases) {
    if (!contains(known.systems, database.system))
      problem(database.at, unknown("system", database.system, known.systems));
  }
  for (const auto& listener : config.listeners) {
    if (!contains(known.dialects, listener.dialect)) {
      if (contains(known.systems, listener.dialect)) {
        problem(listener.at, "vmproxy can read and write " + listener.dialect +
                                 ", but a listener cannot speak it yet; dialects are " +
                                 one_of(known.dialects));
      } else {
        problem(listener.at, unknown("dialect", listener.dialect, known.dialects));
      }
      continue;
    }
    // A listener's requests go to the source byte for byte, so it must speak the source's API.
    const auto& migration = config.migrations.at(listener.migration);
    const auto& source = config.databases.at(migration.source).system;
    const auto& target = config.databases.at(migration.target).system;
    if (listener.dialect != source) {
      problem(listener.at, "migration '" + listener.migration + "' goes from " + source + " to " + target +
                               ", so its listener cannot speak " + listener.dialect +
                               ", only the API of the source; write dialect: " + source);
    }
  }
  if (config.databases.empty()) problem(origin, "no 'databases'; name the source and the target there");
  if (config.migrations.empty())
    problem(origin, "no 'migrations'; write for example migrations: {m: {source: old, target: new}}");
  if (config.listeners.empty()) {
    problem(origin,
            "no 'listeners'; without one no application can reach vmproxy. Write for example "
            "listeners: [{listen: 127.0.0.1:8001, dialect: NAME, migration: m}]");
  }
  if (all.empty()) return {};
  return Error(Code::invalid, all);
}

}  // namespace vmproxy::config
