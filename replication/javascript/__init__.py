"""Functions of design documents: `filters`, `views.*.map` as a filter, and `validate_doc_update`.

They run in QuickJS, an interpreter inside this process that knows no files, network, clock of the machine or
module but those of the design document itself. Only who may write design documents can bring code here; its
limits are for mistakes, and for the day when such a credential is stolen.

    what the code does                          what follows
    ----------------------------------------    ------------------------------------------------------------
    throws, or is no JavaScript                 `FunctionFailed` with the error's name, for that request
    never ends                                  interrupted after CPU_SECONDS, `timeout`
    … within one built-in function              not interrupted: the engine looks at its time between steps of
                                                the code, and `new Array(4294967295).join()` is one step. The
                                                thread is lost until the process ends
    takes memory without end, recurses          stopped at MEMORY_BYTES or STACK_BYTES, by an error of its own
    replaces what the prelude gave it           answers nonsense about its own documents, nothing else
    asks for a module that is not there         throws, as in CouchDB
    the engine is not installed                 filters answer 501; a database with a `validate_doc_update`
                                                takes no write, so that a rule is never silently dropped
"""
