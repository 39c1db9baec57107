"""A double of REDCap's API: a server on this machine that answers as REDCap does, and fails as REDCap does.

REDCap is proprietary, so that no test can start it. All here comes from what is public: the help of the API,
programs that use it, and answers that people have shown. It is worth what it copies faithfully; where two
versions differ or nothing is known, the double takes the stricter way, or has a switch.

**By hand.** `python -m tests.redcap_double` tells a URL and a token, then a line for each row that arrives;
`--help` has the rest. Start it with a project of your own (REDCap's data dictionary or XML file).

**In tests.** The fixture `redcap_double` (`fixtures.py`) is a double in a thread with `study_project()`;
`building.py` makes other projects, `running.py` runs a double in a loop, a thread or a process.

    def test_a_lost_answer(redcap_double: Running) -> None:
        redcap_double.faults.add("drop-after", content="record", action="import")
        with pytest.raises(RedcapError):
            redcap_double.client().import_records([{"record_id": "1", "age": "41"}])
        assert redcap_double.double.values("1") == {"age": "41"}

More of `Double`: `person_writes`, `lock_form`, `lock_record`, `unlock`, `edit_dictionary`, `unban`,
`requests` (what came, how often, how fast), `clock`, `projects[n].users[n]` (rights), `projects[n].records`
(rows, locks, log, groups). A server that has too little memory for large batches is

    double.faults.add("out-of-memory", times=None, when=lambda call: len(call.parameters.text("data")) > 9999)

| file | what it is about |
|---|---|
| `dictionary` `project` `records` | fields and columns; events, repeats, users; rows, locks, log |
| `dictionary_file` `odm_file` `building` | where projects come from |
| `parameters` `refusals` `answers` | what requests, errors and answers look like |
| `values` `placing` `importing` | an import: a value, a row's place, all or nothing |
| `filter_logic` `exporting` `about_project` `files` | what is read |
| `api` | content and action → method |
| `faults` `catalogue` `request_log` | what goes wrong, and what was asked |
| `double` `server` `control` `running` `fixtures` `cli` | the running server |

**Known by shown answers**: the texts for unknown fields and events, bad choices, wrong formats, locked forms,
wrong repeats, values of parameters, classic projects, a missing token or right to groups, memory, the ban;
status 400 and 403; counts, `ids` and `auto_ids`; the columns of exports.

**Own wording, to be recognised by its status and its field line only**: a locked record, another group's
record, a field that is not in the event, a value that is too long, a bad instance, files, and
rights other than those of import and of groups.

**Left out**: type `eav`, surveys, reports, PDFs, the file repository, imports of anything but records and
files, user roles and rights by form, missing data codes, secondary unique fields, randomisation, calculated
values, logged exports, the rarer options of exports, most of filter logic. Where the API has it, the double
answers 501 (filter logic: 400); it never does as if it had not been asked.
"""
