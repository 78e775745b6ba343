#pragma once
#include "engine/session.h"
#include "model_files/language_model.h"
#include "run/recipe.h"

/// Training that begins with weights of a language model that is there.
namespace argosy::run {

/// Whether training.start_from names such a model, and not a run.
bool starts_from_model(const Recipe& recipe);

/// The recipe with the architecture and the sizes of the language model or run that it starts from,
/// for a run in `folder`; one that has begun has them in its own recipe. Other recipes stay as they
/// are.
///
/// throws  Error: there is no such model, it is of a kind that is not trained here, it has a
///         shorter context than language.context
Recipe with_start_model(Recipe recipe, const Path& folder);

/// The recipe as far as it is known without its data: with_start_model(), and 256 tokens where the
/// data's vocabulary would decide, which is said.
Recipe without_data(const Recipe& recipe);

/// Fills the parameters of a session that trains such a recipe, and their averages.
void begin_with_model(const Session& session, const model_files::LanguageModel& model);

}  // namespace argosy::run
