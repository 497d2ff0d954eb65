/* Loaded into h2load, gives every request ids of its own: h2load reads the file of its request body anew for each
   request, and this overwrites the placeholders in what it reads with the next numbers, from FIRST_ID on. A read that
   would end within a placeholder ends before it, for h2load to read it whole the next time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define PLACEHOLDER "~~~~~~~~~~~~~~~~"
#define LENGTH (sizeof PLACEHOLDER - 1)

ssize_t pread(int file, void *buffer, size_t size, off_t offset) {
    static ssize_t (*read_file)(int, void *, size_t, off_t);
    static unsigned long long next_id;
    if (read_file == NULL) {
        read_file = (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
        next_id = strtoull(getenv("FIRST_ID"), NULL, 10);
    }
    ssize_t length = read_file(file, buffer, size, offset);
    char *place = buffer, *end = place + (length > 0 ? length : 0);
    while ((place = memmem(place, end - place, PLACEHOLDER, LENGTH)) != NULL) {
        char id[LENGTH + 1];
        snprintf(id, sizeof id, "%0*llu", (int)LENGTH, next_id++);
        memcpy(place, id, LENGTH);
        place += LENGTH;
    }
    while (length > 0 && ((char *)buffer)[length - 1] == PLACEHOLDER[0])
        length--;
    return length;
}
