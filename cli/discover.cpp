#include "cli/discover.h"

#include <boost/json.hpp>

#include "cli/compatibility.h"
#include "cli/format.h"
#include "cli/sampled_fields.h"
#include "config/address.h"

namespace vmproxy::cli {
namespace json = boost::json;
namespace {

std::string_view name_of_metric(model::Metric metric) {
  switch (metric) {
    case model::Metric::l2: return "l2";
    case model::Metric::cosine: return "cosine";
    case model::Metric::inner_product: return "inner product";
  }
  return "?";
}

std::string_view name_of_vector(model::VectorKind kind) {
  switch (kind) {
    case model::VectorKind::dense_f32: return "float32";
    case model::VectorKind::dense_f16: return "float16";
    case model::VectorKind::dense_bf16: return "bfloat16";
    case model::VectorKind::binary: return "binary";
    case model::VectorKind::sparse: return "sparse";
  }
  return "?";
}

json::object described(const model::Schema& schema, std::optional<uint64_t> records,
                       const Result<std::optional<SampledFields>>& sample) {
  json::array vectors, fields;
  for (const auto& field : schema.vectors) {
    vectors.push_back({{"name", field.name},
                       {"kind", name_of_vector(field.kind)},
                       {"dimension", field.dimension},
                       {"metric", name_of_metric(field.metric)}});
  }
  for (const auto& field : schema.fields)
    fields.push_back({{"name", field.name}, {"type", name_of(field.kind)}});
  json::value sampled = nullptr;
  if (sample && *sample) sampled = json_of(**sample);
  return {
      {"space", schema.name.space},
      {"name", schema.name.name},
      {"records", records ? json::value(*records) : json::value(nullptr)},
      {"id",
       {{"name", schema.id_name}, {"kind", name_of(schema.id_kind)}, {"generated", schema.generated_ids}}},
      {"vectors", std::move(vectors)},
      {"fields", std::move(fields)},
      {"dynamic_fields", schema.dynamic},
      {"sampled", std::move(sampled)},
      {"document", schema.has_document},
      {"partitions", schema.partitions.size()}};
}

Ending discover(Session& session, Systems systems) {
  const auto system = need_system(systems, session.options.system);
  if (!system) return system.error();
  const auto url = expanded_url(session, session.options.url);
  if (!url) return url.error();
  protocols::Endpoint endpoint;
  endpoint.name = session.options.system;
  endpoint.url = *url;
  const std::string where = session.options.system + " at " + config::masked_url(*url);
  const auto failed = [&where](const Error& error) {
    return Failure{exit_of(error.code), where + ": " + error.message, remedy(error)};
  };

  auto driver = (*system)->make_driver(endpoint, session.program.clock);
  if (!driver) return failed(driver.error());
  const auto info = (*driver)->describe_server(session.program.clock.in(std::chrono::seconds(10)));
  if (!info) return failed(info.error());
  const auto found = (*driver)->list_all(session.program.clock.in(std::chrono::seconds(60)));
  if (!found) return failed(found.error());

  auto& out = session.terminal.out();
  json::array all;
  if (!session.options.json) out << where << ", version " << info->version << '\n';
  for (const auto& schema : found->collections) {
    const auto records = count_records(**driver, schema, session.program.clock.in(std::chrono::seconds(30)));
    const auto sample = sample_fields(**driver, schema, session.program.clock.in(std::chrono::seconds(10)));
    if (session.options.json) {
      all.push_back(described(schema, records, sample));
      continue;
    }
    out << model::to_string(schema.name) << '\n'
        << "  records  " << (records ? grouped(*records) : std::string("cannot be counted")) << '\n'
        << "  id       " << schema.id_name << ", " << name_of(schema.id_kind)
        << (schema.generated_ids ? ", made by the database" : "") << '\n'
        << "  vectors  " << describe_vectors(schema) << '\n';
    std::string fields;
    for (const auto& field : schema.fields)
      fields += (fields.empty() ? "" : ", ") + field.name + ' ' + std::string(name_of(field.kind));
    if (schema.dynamic) fields += fields.empty() ? "any" : ", and any other";
    if (schema.has_document) fields += ", and a document";
    out << "  fields   "
        << wrap(std::string(11, ' ') + (fields.empty() ? "none" : fields), session.terminal.width(), 11)
               .substr(11)
        << '\n';
    if (!schema.dynamic) continue;
    std::string seen = sample ? "in " + count(sample->value().records, "record", "records") + ": " +
                                    describe_fields(sample->value())
                              : "cannot be read: " + sample.error().message;
    out << "  sampled  " << wrap(std::string(11, ' ') + seen, session.terminal.width(), 11).substr(11)
        << '\n';
  }
  if (session.options.json) {
    out << pretty(json::object{{"system", session.options.system},
                               {"version", info->version},
                               {"collections", std::move(all)},
                               {"left_out", json_of(found->left_out)}});
    return std::nullopt;
  }
  for (const auto& one : found->left_out) {
    out << model::to_string(one.name) << "\n  LEFT OUT "
        << wrap(std::string(11, ' ') + one.why, session.terminal.width(), 11).substr(11) << "\n  fix      "
        << wrap(std::string(11, ' ') + one.remedy, session.terminal.width(), 11).substr(11) << '\n';
  }
  if (found->collections.empty()) session.terminal.say("it holds no collections");
  return std::nullopt;
}

}  // namespace

std::string_view name_of(model::IdKind kind) {
  switch (kind) {
    case model::IdKind::u64: return "unsigned integer";
    case model::IdKind::i64: return "integer";
    case model::IdKind::uuid: return "uuid";
    case model::IdKind::string: return "string";
  }
  return "?";
}

std::string describe_vectors(const model::Schema& schema) {
  std::string out;
  for (const auto& field : schema.vectors) {
    if (!out.empty()) out += "; ";
    if (!field.name.empty()) out += field.name + ": ";
    if (field.kind != model::VectorKind::sparse)
      out += (field.dimension ? std::to_string(field.dimension) : "?") + std::string(" x ");
    out += std::string(name_of_vector(field.kind)) + ", " + std::string(name_of_metric(field.metric));
  }
  return out.empty() ? "none" : out;
}

LocalCommand discover_command(Systems systems) {
  return [systems](Session& session) { return discover(session, systems); };
}

}  // namespace vmproxy::cli
