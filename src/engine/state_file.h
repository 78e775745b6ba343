#pragma once
#include <string>

#include "base/files.h"
#include "engine/session.h"

namespace argosy {

/// Writes all of a session's state as safetensors.
void write_state(const Session& session, const Path& file);

/// Restores all of it. The file must hold exactly the session's state: names, dtypes and shapes.
/// throws Error (file) naming what differs
void read_state(Session& session, const Path& file);

/// Restores a session that holds a part of what the file holds (a policy from a training run).
/// Where the file has a moving average of a parameter, `averaged` prefers it.
void read_parameters(Session& session, const Path& file, bool averaged);

/// Begins a session that trains with the parameters of another one's file, and their averages with
/// the same; what its optimizer keeps stays as it is. `averaged` as above.
void begin_with_parameters(Session& session, const Path& file, bool averaged);

/// Takes over every piece of state that both sessions have, by name; averages as read_parameters
/// does.
void copy_parameters(const Session& from, Session& to, bool averaged);

}  // namespace argosy
