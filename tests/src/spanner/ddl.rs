//! Statements that change a schema: read strictly, kept in the catalog, and said to PostgreSQL in its words.

use tonic::Status;

use super::catalog::{Catalog, Column, Index, Kind, Table};

/// Takes a statement into the catalog; answers PostgreSQL's, none where what it makes is there.
pub(super) fn take(catalog: &mut Catalog, statement: &str) -> Result<Option<String>, Status> {
    let mut words = Words::of(statement)?;
    if words.take(&["ALTER", "TABLE"]) {
        return added(catalog, &mut words, statement);
    }
    words.expect("CREATE")?;
    let made = match words.next()?.to_ascii_uppercase().as_str() {
        "TABLE" => table(catalog, &mut words),
        "INDEX" => index(catalog, &mut words, false),
        "UNIQUE" => {
            words.expect("INDEX")?;
            index(catalog, &mut words, true)
        }
        other => Err(Status::unimplemented(format!("this front makes no {other}: {statement}"))),
    }?;
    match words.rest.front() {
        None => Ok(made),
        Some(word) => Err(wrong(format!("{word:?} was not expected in {statement}"))),
    }
}

/// A column is added to a table: the one change of a table that leadline makes.
fn added(catalog: &mut Catalog, words: &mut Words, statement: &str) -> Result<Option<String>, Status> {
    let name = words.next()?;
    ["ADD", "COLUMN"].into_iter().try_for_each(|word| words.expect(word))?;
    let lenient = words.take(&["IF", "NOT", "EXISTS"]);
    let column = column(words)?;
    if let Some(word) = words.rest.front() {
        return Err(wrong(format!("{word:?} was not expected in {statement}")));
    }
    if column.required {
        return Err(Status::failed_precondition(format!(
            "Cannot add NOT NULL column {name}.{}",
            column.name
        )));
    }
    if catalog.table(&name)?.column(&column.name).is_ok() {
        return already(lenient, &column.name);
    }
    let sql = format!("ALTER TABLE \"{name}\" ADD COLUMN \"{}\" {}", column.name, column.kind.postgres());
    if let Some(table) = catalog.tables.get_mut(&name) {
        table.columns.push(column);
    }
    Ok(Some(sql))
}

fn wrong(why: String) -> Status {
    Status::invalid_argument(format!("Syntax error: {why}"))
}

/// A statement's words and signs, the next first.
struct Words {
    rest: std::collections::VecDeque<String>,
}

impl Words {
    fn of(statement: &str) -> Result<Self, Status> {
        let mut rest = std::collections::VecDeque::new();
        let mut word = String::new();
        for sign in statement.chars() {
            if sign.is_alphanumeric() || sign == '_' {
                word.push(sign);
                continue;
            }
            rest.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            match sign {
                '(' | ')' | ',' | '=' => rest.push_back(sign.to_string()),
                '`' => {}
                sign if sign.is_whitespace() => {}
                sign => return Err(wrong(format!("{sign:?} in {statement}"))),
            }
        }
        rest.extend((!word.is_empty()).then_some(word));
        Ok(Self { rest })
    }

    fn next(&mut self) -> Result<String, Status> {
        self.rest.pop_front().ok_or_else(|| wrong("the statement is cut short".to_owned()))
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Status> {
        let found = self.next()?;
        match found.eq_ignore_ascii_case(wanted) {
            true => Ok(()),
            false => Err(wrong(format!("{found:?} where {wanted} was expected"))),
        }
    }

    /// Takes these words if they come next.
    fn take(&mut self, wanted: &[&str]) -> bool {
        let come = wanted.iter().zip(&self.rest).filter(|(wanted, found)| found.eq_ignore_ascii_case(wanted));
        let all = come.count() == wanted.len();
        if all {
            self.rest.drain(..wanted.len());
        }
        all
    }
}

fn table(catalog: &mut Catalog, words: &mut Words) -> Result<Option<String>, Status> {
    let lenient = words.take(&["IF", "NOT", "EXISTS"]);
    let name = words.next()?;
    words.expect("(")?;
    let mut columns = Vec::new();
    while !words.take(&[")"]) {
        columns.push(column(words)?);
        if !words.take(&[","]) {
            words.expect(")")?;
            break;
        }
    }
    words.expect("PRIMARY")?;
    words.expect("KEY")?;
    let (key, order) = parts(words)?;
    let mut parent = None;
    while words.take(&[","]) {
        if words.take(&["INTERLEAVE", "IN", "PARENT"]) {
            parent = Some((words.next()?, true));
            words.take(&["ON", "DELETE", "CASCADE"]);
        } else if words.take(&["INTERLEAVE", "IN"]) {
            parent = Some((words.next()?, false));
        } else {
            row_deletion(words, &columns)?;
        }
    }
    let made = Table { name, columns, key, parent };
    check(catalog, &made)?;
    if catalog.tables.contains_key(&made.name) {
        return already(lenient, &made.name);
    }
    let sql = table_sql(catalog, &made, &order);
    catalog.tables.insert(made.name.clone(), made);
    Ok(Some(sql))
}

fn already(lenient: bool, name: &str) -> Result<Option<String>, Status> {
    match lenient {
        true => Ok(None),
        false => Err(Status::failed_precondition(format!("Duplicate name in schema: {name}."))),
    }
}

fn check(catalog: &Catalog, table: &Table) -> Result<(), Status> {
    table.key.iter().try_for_each(|column| table.column(column).map(drop))?;
    let Some((parent, _)) = &table.parent else { return Ok(()) };
    let parent = catalog.table(parent)?;
    if !table.key.starts_with(&parent.key) {
        let why = format!("the key of {} does not begin with the key of {}", table.name, parent.name);
        return Err(Status::failed_precondition(why));
    }
    Ok(())
}

fn column(words: &mut Words) -> Result<Column, Status> {
    let (name, kind) = (words.next()?, words.next()?.to_ascii_uppercase());
    let mut length = || -> Result<usize, Status> {
        words.expect("(")?;
        let length = words.next()?;
        words.expect(")")?;
        match length.eq_ignore_ascii_case("MAX") {
            true => Ok(2_621_440),
            false => length.parse().map_err(|_| wrong(format!("{length:?} is no length"))),
        }
    };
    let kind = match kind.as_str() {
        "BOOL" => Kind::Bool,
        "INT64" => Kind::Int64,
        "FLOAT64" => Kind::Float64,
        "STRING" => Kind::String(length()?),
        "BYTES" => length().map(|_| Kind::Bytes)?,
        "TIMESTAMP" => Kind::Timestamp,
        other => return Err(Status::unimplemented(format!("this front has no type {other}"))),
    };
    let required = words.take(&["NOT", "NULL"]);
    let commit_timestamp = words.take(&["OPTIONS", "(", "allow_commit_timestamp", "=", "true", ")"]);
    Ok(Column { name, kind, required, commit_timestamp })
}

/// Columns of a key, and how each is sorted.
fn parts(words: &mut Words) -> Result<(Vec<String>, Vec<&'static str>), Status> {
    words.expect("(")?;
    let (mut columns, mut order) = (Vec::new(), Vec::new());
    loop {
        columns.push(words.next()?);
        order.push(if words.take(&["DESC"]) { "DESC" } else { "ASC" });
        words.take(&["ASC"]);
        if !words.take(&[","]) {
            words.expect(")")?;
            return Ok((columns, order));
        }
    }
}

fn row_deletion(words: &mut Words, columns: &[Column]) -> Result<(), Status> {
    for word in ["ROW", "DELETION", "POLICY", "(", "OLDER_THAN", "("] {
        words.expect(word)?;
    }
    let name = words.next()?;
    if !columns.iter().any(|column| column.name == name && column.kind == Kind::Timestamp) {
        return Err(Status::failed_precondition(format!("{name} is no TIMESTAMP column")));
    }
    words.expect(",")?;
    words.expect("INTERVAL")?;
    words.next()?.parse::<u32>().map_err(|_| wrong("an interval is a number of days".to_owned()))?;
    ["DAY", ")", ")"].into_iter().try_for_each(|word| words.expect(word))
}

fn table_sql(catalog: &Catalog, table: &Table, order: &[&str]) -> String {
    let columns = table.columns.iter().map(|column| {
        let required = if column.required { " NOT NULL" } else { "" };
        format!("\"{}\" {}{required}", column.name, column.kind.postgres())
    });
    let mut parts: Vec<String> = columns.collect();
    parts.push(format!("PRIMARY KEY ({})", quoted(&table.key)));
    if let Some((parent, true)) = &table.parent
        && let Some(parent) = catalog.tables.get(parent)
    {
        let key = quoted(&parent.key);
        parts.push(format!("FOREIGN KEY ({key}) REFERENCES \"{}\" ({key}) ON DELETE CASCADE", parent.name));
    }
    let mut sql = format!("CREATE TABLE \"{}\" ({});", table.name, parts.join(", "));
    if order.contains(&"DESC") {
        // A primary key of PostgreSQL's has one direction; the order that is asked for has an index of its own.
        let name = format!("{}_in_order", table.name);
        sql.push_str(&format!(
            "CREATE INDEX \"{name}\" ON \"{}\" ({});",
            table.name,
            sorted(&table.key, order)
        ));
    }
    sql
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

fn sorted(columns: &[String], order: &[&str]) -> String {
    let one = |(column, order): (&String, &&str)| format!("\"{column}\" {order}");
    columns.iter().zip(order).map(one).collect::<Vec<_>>().join(", ")
}

fn index(catalog: &mut Catalog, words: &mut Words, unique: bool) -> Result<Option<String>, Status> {
    let lenient = words.take(&["IF", "NOT", "EXISTS"]);
    let name = words.next()?;
    words.expect("ON")?;
    let on = words.next()?;
    let (mut columns, mut order) = parts(words)?;
    let table = catalog.table(&on)?;
    columns.iter().try_for_each(|column| table.column(column).map(drop))?;
    if words.take(&[",", "INTERLEAVE", "IN"]) {
        let parent = catalog.table(&words.next()?)?;
        if !columns.starts_with(&parent.key) {
            return Err(Status::failed_precondition(format!("{name} does not begin with {}", parent.name)));
        }
    }
    if catalog.indexes.contains_key(&name) {
        return already(lenient, &name);
    }
    let made = Index { table: on.clone(), columns: columns.clone() };
    // Behind an index's own columns lie those of the table's key, here as there.
    for column in table.key.clone() {
        if !unique && !columns.contains(&column) {
            columns.push(column);
            order.push("ASC");
        }
    }
    catalog.indexes.insert(name.clone(), made);
    let unique = if unique { "UNIQUE " } else { "" };
    Ok(Some(format!("CREATE {unique}INDEX \"{name}\" ON \"{on}\" ({})", sorted(&columns, &order))))
}
