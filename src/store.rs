//! All SQL, one file per aggregate. Knows rows and core types; nobody else writes a statement.
