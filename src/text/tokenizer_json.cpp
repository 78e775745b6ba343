#include "text/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "text/json_reader.h"
#include "text/spelling.h"

namespace argosy::text {
namespace {

constexpr const char* kOtherFile =
    "use a model whose tokenizer is byte-pair encoding, or its SentencePiece file tokenizer.model";

[[noreturn]] void unsupported(const JsonReader& reader, const std::string& what) {
  reader.fail(fmt::format("{} is not supported", what), kOtherFile);
}

using Spellings = std::unordered_map<std::string, Token>;

Token token_of(const JsonReader& reader, const std::string& spelling, const Spellings& spellings) {
  const auto entry = spellings.find(spelling);
  if (entry == spellings.end())
    reader.fail(fmt::format("\"{}\" is not in the vocabulary", spelling.substr(0, 40)));
  return entry->second;
}

/// Visits a processor, or those of a sequence, in order.
void for_each_step(const JsonReader& reader, const char* list_key, auto&& visit) {
  const std::string type = reader.object().at("type").text();
  if (type != "Sequence") return visit(reader, type);
  const JsonReader list = reader.at(list_key).list();
  for (size_t i = 0; i < list.size(); ++i) for_each_step(list.at(i), list_key, visit);
}

/// Ids may leave out some, but a list of a few entries does not claim millions.
void read_entry(const JsonReader& id, const std::string& spelling, size_t entries, EntryKind kind,
                BpeDefinition& definition) {
  const int64_t number = id.whole_number();
  const auto most = static_cast<int64_t>(2 * entries + 1000);
  if (number < 0 || number >= most)
    id.fail(fmt::format("token {} is not in [0, {})", number, most));
  if (number >= static_cast<int64_t>(definition.entries.size()))
    definition.entries.resize(static_cast<size_t>(number) + 1, {"", EntryKind::unused});
  VocabularyEntry& entry = definition.entries[static_cast<size_t>(number)];
  if (entry.kind != EntryKind::unused && entry.spelling != spelling)
    id.fail(fmt::format("token {} is both \"{}\" and \"{}\"", number, entry.spelling.substr(0, 40),
                        spelling.substr(0, 40)));
  entry = {spelling, kind};
}

void read_entries(const JsonReader& file, BpeDefinition& definition) {
  const JsonReader model = file.at("model"), vocabulary = model.at("vocab").object();
  const bool byte_fallback = model.flag("byte_fallback", false);
  const size_t added_count = file.has("added_tokens") ? file.at("added_tokens").list().size() : 0;
  const size_t entries = vocabulary.size() + added_count;
  for (const auto& [spelling, id] : vocabulary.json().items()) {
    const bool byte = byte_fallback && byte_named(spelling) >= 0;
    read_entry(JsonReader(id, vocabulary.where()), spelling, entries,
               byte ? EntryKind::byte : EntryKind::plain, definition);
  }
  for (size_t i = 0; i < added_count; ++i) {
    const JsonReader token = file.at("added_tokens").at(i).object();
    for (const char* key : {"lstrip", "rstrip", "single_word"})
      if (token.flag(key, false)) unsupported(token, fmt::format("\"{}\"", key));
    read_entry(token.at("id"), token.at("content").text(), entries,
               token.flag("special", false) ? EntryKind::special : EntryKind::added, definition);
  }
}

void read_merges(const JsonReader& model, const Spellings& spellings, BpeDefinition& definition) {
  const JsonReader list = model.at("merges").list();
  definition.merges.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonReader merge = list.at(i);
    std::string left, right;
    if (merge.json().is_array() && merge.size() == 2) {
      left = merge.at(size_t{0}).text();
      right = merge.at(size_t{1}).text();
    } else {
      const std::string both = merge.text();
      const size_t space = both.find(' ');
      if (space == std::string::npos || both.find(' ', space + 1) != std::string::npos)
        merge.fail("it is not two names with a space between");
      left = both.substr(0, space);
      right = both.substr(space + 1);
    }
    definition.merges.push_back(
        {token_of(merge, left, spellings), token_of(merge, right, spellings),
         token_of(merge, left + right, spellings), static_cast<int32_t>(i)});
  }
}

std::string split_expression(const JsonReader& split) {
  const JsonReader pattern = split.at("pattern").object();
  const std::string behavior = split.at("behavior").text();
  const bool invert = split.flag("invert", false);
  // what "Removed" with "invert" removes is what the pattern leaves, and it is meant to leave
  // nothing
  if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert))
    unsupported(split, fmt::format("\"behavior\": \"{}\"{}", behavior, invert ? ", inverted" : ""));
  return pattern.has("Regex") ? pattern.at("Regex").text()
                              : literal_expression(pattern.at("String").text());
}

/// What a file says of its alphabet: that pieces become bytes, that spaces become U+2581.
struct Says {
  bool bytes = false, spaces = false;
};

void read_metaspace(const JsonReader& step, BpeDefinition& definition) {
  if (step.text("replacement", std::string(kSpace)) != kSpace)
    unsupported(step, "another replacement than U+2581");
  if (step.flag("split", true)) unsupported(step, "\"split\": true");
  const std::string scheme =
      step.text("prepend_scheme", step.flag("add_prefix_space", true) ? "always" : "never");
  // at the beginning alone, and not behind special tokens: a prompt has no such place
  if (scheme == "first") unsupported(step, "\"prepend_scheme\": \"first\"");
  if (scheme != "never") definition.space_prefix = SpacePrefix::unless_there;
}

void read_pre_tokenizer(const JsonReader& step, const std::string& type, Says& says,
                        BpeDefinition& definition) {
  if (says.bytes) unsupported(step, fmt::format("{} behind ByteLevel", type));
  if (type == "ByteLevel") {
    says.bytes = true;
    if (step.flag("add_prefix_space", true)) unsupported(step, "\"add_prefix_space\": true");
    if (step.flag("use_regex", true)) definition.splits.push_back(kGpt2Split);
  } else if (type == "Split") {
    definition.splits.push_back(split_expression(step));
  } else if (type == "Digits") {
    const bool single = step.flag("individual_digits", false);
    definition.splits.push_back(single ? R"(\p{N})" : R"(\p{N}+)");
  } else if (type == "Metaspace") {
    says.spaces = true;
    read_metaspace(step, definition);
  } else {
    unsupported(step, fmt::format("the pre-tokenizer {}", type));
  }
}

void read_normalizer(const JsonReader& step, const std::string& type, Says& says,
                     BpeDefinition& definition) {
  if (type == "Prepend" && step.text("prepend", "") == kSpace) {
    definition.space_prefix = SpacePrefix::always;
  } else if (type == "Replace" && step.at("pattern").text("String", "") == " " &&
             step.text("content", "") == kSpace) {
    says.spaces = true;
  } else if (type == "NFC") {
    definition.composed = true;
  } else {
    unsupported(step, fmt::format("the normalizer {}", type));
  }
}

void read_alphabet(const JsonReader& file, BpeDefinition& definition) {
  Says says;
  if (file.has("normalizer"))
    for_each_step(file.at("normalizer"), "normalizers",
                  [&](const JsonReader& step, const std::string& type) {
                    read_normalizer(step, type, says, definition);
                  });
  if (file.has("pre_tokenizer"))
    for_each_step(file.at("pre_tokenizer"), "pretokenizers",
                  [&](const JsonReader& step, const std::string& type) {
                    read_pre_tokenizer(step, type, says, definition);
                  });
  if (says.bytes == says.spaces)
    unsupported(file,
                "a vocabulary that is neither of bytes (ByteLevel) nor of SentencePiece's "
                "kind (U+2581 for spaces)");
  if (says.bytes && definition.space_prefix != SpacePrefix::none)
    unsupported(file, "a prefix for a vocabulary of bytes");
  if (says.spaces && !definition.splits.empty())
    unsupported(file, "a split for a vocabulary of SentencePiece's kind");
  if (says.spaces && definition.composed)
    unsupported(file, "the normalizer NFC for a vocabulary of SentencePiece's kind");
  definition.alphabet = says.bytes ? Alphabet::bytes : Alphabet::characters;
}

std::optional<Token> read_beginning(const JsonReader& file, const Spellings& spellings) {
  std::optional<Token> beginning;
  if (!file.has("post_processor")) return beginning;
  for_each_step(file.at("post_processor"), "processors",
                [&](const JsonReader& step, const std::string& type) {
                  if (type != "TemplateProcessing") return;
                  const JsonReader single = step.at("single").list();
                  if (single.size() == 0 || !single.at(size_t{0}).has("SpecialToken")) return;
                  const JsonReader name = single.at(size_t{0}).at("SpecialToken").at("id");
                  beginning = token_of(name, name.text(), spellings);
                });
  return beginning;
}

nlohmann::json text_pattern(const char* kind, const std::string& text) { return {{kind, text}}; }

nlohmann::json pre_tokenizer_of(const BpeDefinition& definition) {
  if (definition.alphabet == Alphabet::characters) return nullptr;
  const auto byte_level = [](bool use_regex) {
    return nlohmann::json{{"type", "ByteLevel"},
                          {"add_prefix_space", false},
                          {"trim_offsets", true},
                          {"use_regex", use_regex}};
  };
  nlohmann::json steps = nlohmann::json::array();
  bool last_is_gpt2 = !definition.splits.empty() && definition.splits.back() == kGpt2Split;
  for (const std::string& split : definition.splits) {
    if (&split == &definition.splits.back() && last_is_gpt2) break;
    steps.push_back({{"type", "Split"},
                     {"pattern", text_pattern("Regex", split)},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(byte_level(last_is_gpt2));
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

nlohmann::json normalizer_of(const BpeDefinition& definition) {
  if (definition.composed) return {{"type", "NFC"}};
  if (definition.alphabet == Alphabet::bytes) return nullptr;
  nlohmann::json steps = nlohmann::json::array();
  if (definition.space_prefix != SpacePrefix::none)
    steps.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
  steps.push_back(
      {{"type", "Replace"}, {"pattern", text_pattern("String", " ")}, {"content", kSpace}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

nlohmann::json decoder_of(const BpeDefinition& definition) {
  if (definition.alphabet == Alphabet::bytes)
    return {{"type", "ByteLevel"},
            {"add_prefix_space", false},
            {"trim_offsets", true},
            {"use_regex", true}};
  nlohmann::json steps = {{{"type", "Replace"},
                           {"pattern", text_pattern("String", std::string(kSpace))},
                           {"content", " "}},
                          {{"type", "ByteFallback"}},
                          {{"type", "Fuse"}}};
  if (definition.space_prefix != SpacePrefix::none)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

nlohmann::json post_processor_of(const BpeDefinition& definition) {
  if (!definition.beginning) return nullptr;
  const std::string& name = definition.entries[static_cast<size_t>(*definition.beginning)].spelling;
  const nlohmann::json opening = {{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  const auto sequence = [](const char* id, int type) {
    return nlohmann::json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single", {opening, sequence("A", 0)}},
          {"pair", {opening, sequence("A", 0), opening, sequence("B", 1)}},
          {"special_tokens",
           {{name,
             {{"id", name},
              {"ids", nlohmann::json::array({*definition.beginning})},
              {"tokens", nlohmann::json::array({name})}}}}}};
}

std::string dump(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

BpeDefinition read_tokenizer_json(std::string_view json, const std::string& where) {
  const nlohmann::json parsed = JsonReader::parse(json, where);
  const JsonReader file = JsonReader(parsed, where).object();
  const JsonReader model = file.at("model").object();
  const std::string type = model.text("type", model.has("merges") ? "BPE" : "unknown");
  if (type != "BPE") unsupported(model, fmt::format("a model of type {}", type));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.text(key, "").empty()) unsupported(model, fmt::format("\"{}\"", key));
  if (model.has("dropout") && model.at("dropout").json() != 0) unsupported(model, "\"dropout\"");

  BpeDefinition definition;
  read_entries(file, definition);
  read_alphabet(file, definition);
  definition.whole_piece_first = model.flag("ignore_merges", false);
  definition.fuse_unknown = model.flag("fuse_unk", false);

  Spellings spellings;
  for (Token token = 0; const VocabularyEntry& entry : definition.entries) {
    if (entry.kind != EntryKind::unused) spellings.emplace(entry.spelling, token);
    ++token;
  }
  read_merges(model, spellings, definition);
  if (model.has("unk_token")) {
    definition.unknown = token_of(model, model.at("unk_token").text(), spellings);
    EntryKind& kind = definition.entries[static_cast<size_t>(*definition.unknown)].kind;
    if (kind == EntryKind::plain) kind = EntryKind::unknown;
  }
  definition.beginning = read_beginning(file, spellings);
  add_known_ends(definition);
  return definition;
}

namespace {

void add_end(BpeDefinition& definition, Token token) {
  if (std::find(definition.ends.begin(), definition.ends.end(), token) == definition.ends.end())
    definition.ends.push_back(token);
}

}  // namespace

void add_ends(BpeDefinition& definition, std::string_view config_json, const std::string& where) {
  const nlohmann::json parsed = JsonReader::parse(config_json, where);
  const JsonReader config = JsonReader(parsed, where).object();
  std::vector<Token> found;
  if (config.has("eos_token")) {
    const JsonReader eos = config.at("eos_token");
    const std::string name = eos.is_object() ? eos.at("content").text() : eos.text();
    const auto entry = std::find_if(definition.entries.begin(), definition.entries.end(),
                                    [&](const VocabularyEntry& e) {
                                      return e.kind != EntryKind::unused && e.spelling == name;
                                    });
    if (entry == definition.entries.end())
      eos.fail(fmt::format("\"{}\" is not in the vocabulary", name.substr(0, 40)));
    found.push_back(static_cast<Token>(entry - definition.entries.begin()));
  }
  if (config.has("eos_token_id")) {
    const JsonReader ids = config.at("eos_token_id");
    const size_t count = ids.json().is_array() ? ids.size() : 1;
    for (size_t i = 0; i < count; ++i) {
      const int64_t id = (ids.json().is_array() ? ids.at(i) : ids).whole_number();
      if (id < 0 || id >= static_cast<int64_t>(definition.entries.size()))
        ids.fail(fmt::format("{} is not in the vocabulary", id));
      found.push_back(static_cast<Token>(id));
    }
  }
  // what the model itself says goes first: it closes documents
  std::vector<Token> known = std::move(definition.ends);
  definition.ends.clear();
  for (const Token token : found) add_end(definition, token);
  for (const Token token : known) add_end(definition, token);
}

void add_known_ends(BpeDefinition& definition) {
  constexpr std::string_view kNames[] = {"<|endoftext|>",   "<|im_end|>",      "<|eot_id|>",
                                         "<|end_of_text|>", "<|end|>",         "<|eom_id|>",
                                         "<end_of_turn>",   "<|end_of_turn|>", "</s>"};
  for (Token token = 0; const VocabularyEntry& entry : definition.entries) {
    if (entry.kind == EntryKind::special &&
        std::find(std::begin(kNames), std::end(kNames), entry.spelling) != std::end(kNames))
      add_end(definition, token);
    ++token;
  }
}

std::string tokenizer_json(const BpeDefinition& definition) {
  nlohmann::ordered_json added = nlohmann::ordered_json::array(),
                         vocabulary = nlohmann::ordered_json::object(),
                         merges = nlohmann::ordered_json::array();
  const auto& entries = definition.entries;
  // as a list, since the library would look every member up in all that came before
  auto& members = vocabulary.get_ref<nlohmann::ordered_json::object_t&>();
  for (Token token = 0; const auto& [spelling, kind] : entries) {
    const bool special = kind == EntryKind::special || kind == EntryKind::unknown;
    if (special || kind == EntryKind::added)
      added.push_back({{"id", token},
                       {"content", spelling},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", special}});
    if (kind != EntryKind::unused) members.emplace_back(spelling, token);
    ++token;
  }
  for (const Merge& merge : definition.merges)
    merges.push_back({entries[static_cast<size_t>(merge.left)].spelling,
                      entries[static_cast<size_t>(merge.right)].spelling});
  nlohmann::ordered_json unknown = nullptr;
  if (definition.unknown) unknown = entries[static_cast<size_t>(*definition.unknown)].spelling;
  return dump({{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", added},
               {"normalizer", normalizer_of(definition)},
               {"pre_tokenizer", pre_tokenizer_of(definition)},
               {"post_processor", post_processor_of(definition)},
               {"decoder", decoder_of(definition)},
               {"model",
                {{"type", "BPE"},
                 {"dropout", nullptr},
                 {"unk_token", unknown},
                 {"continuing_subword_prefix", nullptr},
                 {"end_of_word_suffix", nullptr},
                 {"fuse_unk", definition.fuse_unknown},
                 {"byte_fallback", definition.alphabet == Alphabet::characters},
                 {"ignore_merges", definition.whole_piece_first},
                 {"vocab", vocabulary},
                 {"merges", merges}}}},
              -1);
}

std::string tokenizer_config(const BpeDefinition& definition) {
  nlohmann::ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                   {"clean_up_tokenization_spaces", false}};
  const auto name = [&](Token token) {
    return definition.entries[static_cast<size_t>(token)].spelling;
  };
  if (definition.beginning) config["bos_token"] = name(*definition.beginning);
  if (!definition.ends.empty()) config["eos_token"] = name(definition.ends[0]);
  if (definition.unknown) config["unk_token"] = name(*definition.unknown);
  return dump(config, 2);
}

}  // namespace argosy::text
