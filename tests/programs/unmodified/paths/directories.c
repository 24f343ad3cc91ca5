/* Reading of directories, also while they change. */

#include "answers.h"
#include <dirent.h>

static int order(const struct dirent **one, const struct dirent **two)
{
    return strcmp((*one)->d_name, (*two)->d_name);
}

static const char *kind(int type)
{
    return type == DT_DIR ? "folder" : type == DT_REG ? "file" : type == DT_LNK ? "link" : "other";
}

static void list(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, order);
    answer("scandir", count);
    for (int i = 0; i < count; i++) {
        printf(" %s, a %s\n", entries[i]->d_name, kind(entries[i]->d_type));
        free(entries[i]);
    }
    fflush(stdout);
    if (count >= 0)
        free(entries);
}

/* The last name of the current directory. */
static void where(void)
{
    char path[4096];
    char *found = getcwd(path, sizeof path);
    answer("getcwd", found == NULL ? -1 : 0);
    if (found != NULL)
        printf(" %s\n", strrchr(path, '/') + 1);
    fflush(stdout);
}

/* The current directory moves, is replaced, and is removed. */
static void lose_the_directory(void)
{
    answer("mkdir of a home", mkdir("home", 0755) || mkdir("home/room", 0755));
    answer("chdir to it", chdir("home/room"));
    answer("rename of its parent", rename("../../home", "../../house"));
    where();
    answer("rename of itself", rename("../room", "../../attic"));
    where();
    answer("up from where it is", chdir(".."));
    answer("its old parent", rmdir("house"));
    answer("chdir back", chdir("attic"));
    answer("rmdir of the current directory", rmdir("../attic"));
    where();
    answer("mkdir below it", mkdir("below", 0755));
    opened("open below it", open("file", O_RDWR | O_CREAT, 0644));
    answer("access below it", access("./file", F_OK));
    answer("its name again", mkdir("../attic", 0755));
    where();
    opened("open below the old one", open("file", O_RDWR | O_CREAT, 0644));
    answer("up", chdir(".."));
    answer("chdir to the new one", chdir("attic"));
    answer("another", mkdir("../shed", 0755));
    answer("rename over it", rename("../shed", "../attic"));
    where();
    answer("up again", chdir("../."));
    answer("rmdir of the last", rmdir("attic"));
}

value test_directories(value unit)
{
    char name[300];
    answer("mkdir", mkdir("list", 0755));
    answer("mkdir again", mkdir("list", 0755));
    answer("mkdir below what is missing", mkdir("missing/list", 0755));
    answer("mkdir with a slash", mkdir("list/below/", 0755));
    write_file("list/file", "");
    symlink("file", "list/link");
    list("list");
    answer("rmdir of what is full", rmdir("list"));
    answer("rmdir of a file", rmdir("list/file"));
    answer("rmdir of a dot", rmdir("list/."));
    answer("opendir of a file", opendir("list/file") ? 0 : -1);

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "list/a file with a longer name %03d", i);
        write_file(name, "x");
    }
    DIR *stream = opendir("list");
    struct dirent *entry;
    int count = 0, twice = 0, removed = 0;
    char seen[300] = { 0 };
    while ((entry = readdir(stream)) != NULL) {
        int number;
        count++;
        if (sscanf(entry->d_name, "a file with a longer name %d", &number) == 1) {
            twice += seen[number];
            seen[number] = 1;
            snprintf(name, sizeof name, "list/%s", entry->d_name);
            removed += unlink(name) == 0;
        }
    }
    answer("all were there", count);
    answer("some of them twice", twice);
    answer("removed meanwhile", removed);
    rewinddir(stream);
    for (count = 0; readdir(stream) != NULL; count++)
        ;
    answer("left", count);
    rewinddir(stream);
    readdir(stream);
    long place = telldir(stream);
    entry = readdir(stream);
    snprintf(name, sizeof name, "%s", entry ? entry->d_name : "none");
    readdir(stream);
    seekdir(stream, place);
    entry = readdir(stream);
    answer("seekdir finds the same", entry ? strcmp(entry->d_name, name) : -1);
    answer("its descriptor", fchdir(dirfd(stream)));
    answer("back", chdir(".."));
    closedir(stream);
    unlink("list/file");
    unlink("list/link");
    rmdir("list/below");
    answer("rmdir", rmdir("list"));
    lose_the_directory();
    return unit;
}
