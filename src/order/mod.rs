//! From dependencies to a safe order: sections, type priorities, natural keys, loop repair. Pure.
