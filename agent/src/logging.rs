//! Logs for operators, on stderr.
