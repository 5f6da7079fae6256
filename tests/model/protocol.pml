/* One stage of one chunk as its transactions see it: claim, take over, back up, commit, fold, close.
 *
 * Each `atomic` block is one transaction of the coordinator; between two of them anything may happen: another worker,
 * the end of a lease, a crash, an answer that is lost (the transaction is run again then). The bounds are what makes the
 * search end. With WITHOUT set to the number of a compare, that one is left out, and the search must find an error.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef TASKS
#define TASKS 2
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 4  /* of all workers together */
#endif
#ifndef ENDS
#define ENDS 2      /* of leases, and crashes */
#endif
#ifndef LOST
#define LOST 2      /* answers */
#endif
#ifndef WITHOUT
#define WITHOUT 0
#endif
#define KEPT(number, compare) (WITHOUT == number || (compare))

byte revision = 1, stage_revision = 1;
bool open = true, folded = false;
bool registered[WORKERS];
byte task[TASKS], task_owner[TASKS], task_nonce[TASKS];   /* a revision: 0 is no record */
byte backup[TASKS];
byte done[TASKS], counted[TASKS];                         /* the nonce that counts; how often one was counted */
bool stored[ATTEMPTS + 1];
byte dones = 0;                                           /* how many of `done` there are: what a range would count */
byte nonces = 0, ends = 0, lost = 0, folds = 0, closes = 0;

inline fold_chunk() {
    /* all of the chunk was read as done before: that cannot become untrue while it is not folded */
    atomic {
        if
        :: KEPT(1, !folded) && open ->
            folded = true; folds++; revision++;
            assert(folds == 1);
            for (i : 0 .. TASKS - 1) { assert(counted[i] == 1); done[i] = 0 }
            dones = 0
        :: else
        fi
    }
}

inline close_stage() {
    atomic {
        if
        :: KEPT(2, open) -> open = false; closes++; revision++; stage_revision = revision; assert(closes == 1 && folded)
        :: else
        fi
    }
}

proctype Worker(byte me) {
    byte index, nonce, fence, seen, owner, stage_seen, i;
    bool is_backup, is_last;
again:
    do
    :: !open -> break
    :: open && !folded && dones == TASKS -> fold_chunk()   /* what others left */
    :: folded && open -> close_stage()
    :: nonces == ATTEMPTS && open && !folded && dones < TASKS -> break   /* nothing left to do */
    :: open && nonces < ATTEMPTS ->
        select(index : 0 .. TASKS - 1);
        atomic { seen = task[index]; owner = task_owner[index]; stage_seen = stage_revision; fence = 0; is_backup = false }
        atomic {
            if
            :: nonces < ATTEMPTS ->
                nonces++; nonce = nonces;
                if
                :: seen == 0 ->
                    if
                    :: registered[me] && open && stage_revision == stage_seen && task[index] == 0 &&
                       KEPT(3, done[index] == 0) && KEPT(4, !folded) ->
                        revision++; task[index] = revision; task_owner[index] = me; task_nonce[index] = nonce;
                        fence = revision
                    :: else
                    fi
                :: seen != 0 && (owner == me || !registered[owner]) ->   /* take over */
                    if
                    :: registered[me] && stage_revision == stage_seen && KEPT(5, task[index] == seen) ->
                        revision++; task[index] = revision; task_owner[index] = me; task_nonce[index] = nonce;
                        fence = revision
                    :: else
                    fi
                :: seen != 0 && owner != me ->                           /* back up */
                    if
                    :: registered[me] && stage_revision == stage_seen && KEPT(6, task[index] == seen) &&
                       backup[index] == 0 ->
                        revision++; backup[index] = revision; fence = revision; is_backup = true
                    :: else
                    fi
                fi
            :: else
            fi
        }
        if
        :: fence == 0 -> goto again
        :: else
        fi;
        if
        :: true
        :: atomic { ends < ENDS -> ends++; registered[me] = false }; goto again                 /* a crash */
        fi;
        stored[nonce] = true;
commit:
        is_last = false;
        atomic {
            if
            :: KEPT(7, (!is_backup && task[index] == fence) || (is_backup && backup[index] == fence)) &&
               stage_revision == stage_seen ->
                assert(stored[nonce] && !folded);
                if :: done[index] == 0 -> dones++ :: else fi;
                done[index] = nonce; counted[index]++;
                assert(counted[index] == 1);
                revision++; task[index] = 0;
                if :: WITHOUT != 8 -> backup[index] = 0 :: else fi;
                is_last = (dones == TASKS)
            :: else -> is_last = false
            fi
        }
        if
        :: true
        :: atomic { lost < LOST -> lost++ }; goto commit                                        /* its answer was lost */
        :: atomic { ends < ENDS -> ends++; registered[me] = false }; goto again
        fi;
        if
        :: is_last -> fold_chunk(); if :: folded -> close_stage() :: else fi
        :: else
        fi
    od
}

proctype Heart(byte me) {    /* a worker's lease: it may end at any time, and is asked for anew */
    do
    :: !open -> break
    :: nonces == ATTEMPTS -> break
    :: atomic { !registered[me] -> registered[me] = true }
    :: atomic { registered[me] && ends < ENDS -> ends++; registered[me] = false }
    od
}

init {
    byte w, i;
    atomic {
        for (w : 0 .. WORKERS - 1) { registered[w] = true; run Worker(w); run Heart(w) }
    }
    _nr_pr == 1;             /* everybody has left */
    for (i : 0 .. TASKS - 1) { assert(counted[i] <= 1); assert(backup[i] == 0 || task[i] != 0 || open) }
    assert(!(dones == TASKS && !folded));   /* nobody leaves a chunk that is done unfolded, */
    assert(!(folded && open))               /* nor a stage that is folded open */
}
