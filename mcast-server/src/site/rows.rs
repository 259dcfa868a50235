//! Between rows of the database and plain numbers.

use std::fmt::Write;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

/// A number that has a narrower type than the database's.
pub(super) fn number<T>(row: &AnyRow, column: &'static str) -> Result<T, sqlx::Error>
where
    T: TryFrom<i64>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|error| sqlx::Error::ColumnDecode { index: column.into(), source: error.into() })
}

/// A yes or no.
pub(super) fn flag(row: &AnyRow, column: &'static str) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// A text that something parses.
pub(super) fn parsed<T>(row: &AnyRow, column: &'static str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let value: String = row.try_get(column)?;
    value.parse().map_err(|error: T::Err| sqlx::Error::ColumnDecode { index: column.into(), source: error.into() })
}

/// A count as the database keeps it.
pub(super) fn big(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A text from the network without NUL, which PostgreSQL cannot keep.
pub(super) fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

/// `head ($1, $2, …), ($4, …) tail`: as many rows of parameters as are written at once.
pub(super) fn insert(head: &'static str, rows: usize, columns: usize, tail: &'static str) -> AssertSqlSafe<String> {
    let mut sql = String::from(head);
    for row in 0..rows {
        sql.push_str(if row == 0 { " (" } else { ", (" });
        for column in 0..columns {
            let comma = if column == 0 { "" } else { ", " };
            // Writing to a String does not fail.
            let _ = write!(sql, "{comma}${}", row * columns + column + 1);
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    AssertSqlSafe(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_through() {
        let sql = insert("INSERT INTO t VALUES", 2, 2, "ON CONFLICT DO NOTHING").0;
        assert_eq!(sql, "INSERT INTO t VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING");
    }
}
