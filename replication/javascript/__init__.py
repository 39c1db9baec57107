"""Functions of design documents: `filters`, `views.*.map` as a filter, and `validate_doc_update`.

They run in QuickJS, an interpreter that knows no files, network, clock of the machine or module but those of
the design document itself. Only who may write design documents can bring code here; its limits are for
mistakes, and for the day when such a credential is stolen.

The engine looks at its time between the steps of the code, and `new Array(4294967295).join("")` is one step
that takes minutes. A thread cannot be ended from outside, and one that waits for that is a reader's, or the
only writer of a database. A process can: so the engine lives in child processes, and whoever waits for one
kills it when its time is over.

    thread of the service                            child process
    ---------------------------------------------    -------------------------------------------------
    `sandbox`: documents into batches
    `children`: waits for its turn, picks a child
    `pipe`: sends a task, waits until a deadline -->  `child`: reads it, sets its own alarm
                                                      `interpreter`: calls the function on each document
    hands on verdicts, raises what failed        <--  what it said so far

    what happens                                what follows
    ----------------------------------------    ------------------------------------------------------------
    throws, or is no JavaScript                 `FunctionFailed` with the error's name, for that request
    never ends                                  the engine interrupts after CPU_SECONDS: `timeout`
    … within one built-in function              the child is killed KILL_AFTER later: `timeout`
    is slow about every document of a feed      `timeout` after READ_SECONDS and DOCUMENT_SECONDS each
    takes memory without end, recurses          an error of its own at MEMORY_BYTES or STACK_BYTES; the
                                                process as a whole has ADDRESS_SPACE
    the child dies, or answers garbage          `process_ended`; the next call starts a fresh child
    the child does not start                    503
    all children are busy for WAIT_SECONDS      503; they are taken in the order of asking
    the service is killed                       the pipe closes: the child ends at once, also within a
                                                function; should it not notice, by its alarm
    the service stops, or has asked nothing     idle children are ended
    for IDLE_SECONDS
    replaces what the prelude gave it           answers nonsense about its own documents, nothing else
    asks for a module that is not there         throws, as in CouchDB
    the engine is not installed                 filters answer 501; a database with a `validate_doc_update`
                                                takes no write, so that a rule is never silently dropped

A child is a new program, never a fork: the service has threads, and a copy of it would have their locks. It
gets nothing of the service's environment, where the secrets are.
"""
